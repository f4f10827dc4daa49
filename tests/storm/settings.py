"""The test project as the processes of a storm run it: against a sandbox on a port of its own."""

import os
from datetime import timedelta

from tests.settings import *  # noqa: F403  # the same project
from tests.settings import DATABASES, KASPI_DELIVERY

KASPI_DELIVERY = {
    **KASPI_DELIVERY,
    "BASE_URL": os.environ["STORM_API"],
    "CANCEL_CHECK_INTERVAL": timedelta(seconds=float(os.environ["STORM_CANCEL_CHECK_S"])),
    "ORDER_ADAPTERS": os.environ["STORM_ADAPTERS"].split(),
}
DATABASES["default"]["CONN_MAX_AGE"] = None
DEBUG = False
