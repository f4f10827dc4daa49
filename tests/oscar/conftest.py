"""An oscar shop with one book on its shelf, before a Kaspi that listens on a socket.

Other runs of the suite leave this folder alone, because oscar needs settings of its own:

    python -m pytest -c tests/oscar/pytest.ini --confcutdir tests/oscar tests/oscar
"""

import os
import shutil
import threading

import pytest
from django.conf import settings as django_settings

from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.server import Courier, SandboxServer
from kaspi_delivery_django.signals import delivery_status_changed

IS_OWN_RUN = os.environ.get("DJANGO_SETTINGS_MODULE") == "tests.oscar.settings"
collect_ignore_glob = [] if IS_OWN_RUN else ["*"]

PATIENCE_S = 120


@pytest.fixture(scope="session", autouse=True)
def scratch():
    """Take the pictures' folder away again."""
    yield
    shutil.rmtree(django_settings.SCRATCH)


@pytest.fixture
def pace_s():
    """How long the courier stays in one status."""
    return 0.2


@pytest.fixture
def kaspi(settings, live_server, pace_s):
    """A sandbox on a port of its own, which posts its webhooks to the shop."""
    account = settings.KASPI_DELIVERY
    kaspi = FakeKaspi(
        api_key=account["API_KEY"],
        webhook_secret=account["WEBHOOK_SECRETS"][0],
        webhook_url=f"{live_server.url}/kaspi/webhook/",
        first_retry_s=0.2,
    )
    with SandboxServer(kaspi, courier=Courier(kaspi, pace_s=pace_s)) as server:
        settings.KASPI_DELIVERY = {**account, "BASE_URL": server.url}
        yield kaspi


@pytest.fixture
def until():
    """Wait until the shop's code is notified of a status, after the shop's own receiver."""
    notified = {}

    def receiver(sender, delivery, change, **kwargs):
        notified.setdefault(change.to_status, threading.Event()).set()

    delivery_status_changed.connect(receiver)
    yield lambda status: notified.setdefault(status, threading.Event()).wait(PATIENCE_S)
    delivery_status_changed.disconnect(receiver)
