"""Settings of the shop that relays webhooks: those of the other tests, and the optional app."""

from kaspi_delivery_django import conf
from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS, KASPI_DELIVERY

INSTALLED_APPS = [*INSTALLED_APPS, "kaspi_delivery_django.contrib.relay"]
RELAY = conf.from_env().get("RELAY", {})  # set in a process that a test starts
KASPI_DELIVERY = {**KASPI_DELIVERY, "RELAY": RELAY}
DEBUG = bool(RELAY)  # the tests' ERP has no TLS
if DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3":  # another run may be at work on the server
    DATABASES["default"].setdefault("TEST", {})["NAME"] = f"test_{DATABASES['default']['NAME']}_relay"
