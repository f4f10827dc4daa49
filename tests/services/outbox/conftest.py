"""What the outbox's tests share."""

import pytest
from django.conf import settings

from kaspi_delivery_django.sandbox.adapter import SandboxAdapter
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.services.outbox import claims, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.shop.models import Order


@pytest.fixture(autouse=True)
def _slow_claims(monkeypatch):
    """Let a claim take as long as a slow machine needs."""
    monkeypatch.setattr(claims, "MAX_BUILD_S", 600.0)


@pytest.fixture
def worker(kaspi):
    """Return a silent worker of one thread."""
    return Worker(log=lambda _line: None)


@pytest.fixture
def orders(kaspi):
    """Return a dozen orders, whose creates are due."""
    return [Order.objects.create() for _ in range(12)]


@pytest.fixture
def real_kaspi():
    """Kaspi's sandbox, and no clock but the real ones."""
    account = settings.KASPI_DELIVERY
    kaspi = FakeKaspi(api_key=account["API_KEY"], webhook_secret=account["WEBHOOK_SECRETS"][0], seed=1)
    with sender.transport(SandboxAdapter(kaspi)):
        yield kaspi
