"""A Kaspi over real sockets, and a shop that it can reach."""

import pytest

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.server import SandboxServer
from kaspi_delivery_django.services import clock


@pytest.fixture
def kaspi(settings):
    """Start a sandbox that has the key and the secret of the settings; return its `FakeKaspi`."""
    own = settings.KASPI_DELIVERY
    kaspi = FakeKaspi(api_key=own["API_KEY"], webhook_secret=own["WEBHOOK_SECRETS"][0], first_retry_s=0.2)
    with SandboxServer(kaspi) as server:
        settings.KASPI_DELIVERY = {**own, "BASE_URL": server.url}
        yield kaspi


@pytest.fixture
def account(kaspi):
    """Return the account whose Kaspi that is."""
    return conf.current().accounts["default"]


@pytest.fixture
def shop_url(live_server):
    """Return where Kaspi finds the webhook."""
    return f"{live_server.url}/kaspi/webhook/"


@pytest.fixture
def worker_seen(db):
    """Let a worker have been seen a moment ago."""
    return AccountState.objects.create(account="default", environment="sandbox", worker_seen_at=clock.now())
