"""The test project as a worker of its own runs it: with the app of relayed webhooks installed as a shop installs it."""

from kaspi_delivery_django import conf
from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, KASPI_DELIVERY

INSTALLED_APPS = [
    "kaspi_delivery_django.contrib.relay" if entry.startswith("tests.relay") else entry for entry in INSTALLED_APPS
]
KASPI_DELIVERY = {**KASPI_DELIVERY, "RELAY": conf.from_env()["RELAY"]}
DEBUG = True  # the tests' ERP has no TLS
