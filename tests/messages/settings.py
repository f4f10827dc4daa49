"""The test project as a process of its own runs it: with the app of messages installed as a shop installs it."""

import json
import os

from tests.settings import *  # noqa: F403  # the same project
from tests.settings import INSTALLED_APPS, KASPI_DELIVERY

INSTALLED_APPS = [
    "kaspi_delivery_django.contrib.messages" if entry.startswith("tests.messages") else entry
    for entry in INSTALLED_APPS
]
KASPI_DELIVERY = {
    **KASPI_DELIVERY,
    "ORDER_ADAPTERS": ["tests.messages.adapters.WritingAdapter"],
    "MESSAGES": json.loads(os.environ["TEST_MESSAGES"]),
}
