"""Two merchants over real sockets: a sandbox server for each, and one shop that both of them call."""

import threading
import time

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.server import Courier, SandboxServer
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.signals import delivery_status_changed
from tests.accounts.merchants import ALIASES, credentials, order_in
from tests.conftest import PATIENCE_S

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def servers(shop, live_server):
    """Start a sandbox for each merchant, with its own key and secret; return their fakes by the alias."""
    fakes, running = {}, []
    for alias in ALIASES:
        own = credentials(alias)
        kaspi = fakes[alias] = FakeKaspi(
            api_key=own["API_KEY"],
            webhook_secret=own["WEBHOOK_SECRETS"][0],
            webhook_url=f"{live_server.url}/kaspi/webhook/{alias}/",
            first_retry_s=0.2,
            seed=1,
        )
        running.append(SandboxServer(kaspi, courier=Courier(kaspi, pace_s=0.1)).start())
        shop(alias, BASE_URL=running[-1].url)
    yield fakes
    for server in running:
        server.stop()


@pytest.fixture
def arrived():
    """Wait until the shop's code has been told that so many parcels are delivered."""
    told, enough = set(), threading.Event()

    def receiver(sender, delivery, change, **kwargs):
        if change.to_status == "delivered":
            told.add(delivery.account)
        if told == set(ALIASES):
            enough.set()

    delivery_status_changed.connect(receiver)
    yield lambda: enough.wait(PATIENCE_S)
    delivery_status_changed.disconnect(receiver)


def test_both_parcels_are_delivered(servers, arrived):
    """Each booked at its own Kaspi, and moved by its own webhooks, although the ids are the same."""
    until = time.monotonic() + PATIENCE_S
    for alias in ALIASES:
        order_in(alias)
    while ApiCall.objects.filter(state=ApiCall.State.DUE, attempts=0).exists():
        Worker(log=lambda _line: None).run_until_idle()
    while Delivery.objects.exclude(status="delivered").exists() and time.monotonic() < until:
        time.sleep(0.1)
    Worker(log=lambda _line: None).run_round()
    assert arrived()
    assert dict(Delivery.objects.values_list("account", "status")) == dict.fromkeys(ALIASES, "delivered")
    for alias, kaspi in servers.items():
        [booked] = kaspi.deliveries_for("order-1")
        assert booked.request["dropoff"]["address"] == f"Abay 1, {alias}"
