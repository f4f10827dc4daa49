"""The same story over real sockets: our client, the sandbox server, its courier and our webhook."""

import threading

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.server import Courier, SandboxServer
from kaspi_delivery_django.services.deliveries import notifications
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.signals import delivery_status_changed
from tests.conftest import PATIENCE_S
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

LOOK_EVERY_S = 0.1


@pytest.fixture
def kaspi(settings, live_server):
    """A sandbox on a port of its own, which posts its webhooks to our own server."""
    account = settings.KASPI_DELIVERY
    kaspi = FakeKaspi(
        api_key=account["API_KEY"],
        webhook_secret=account["WEBHOOK_SECRETS"][0],
        webhook_url=f"{live_server.url}/kaspi/webhook/",
        first_retry_s=0.2,
    )
    with SandboxServer(kaspi, courier=Courier(kaspi, pace_s=0.1)) as server:
        settings.KASPI_DELIVERY = {**account, "BASE_URL": server.url}
        yield kaspi


@pytest.fixture
def until_delivered():
    """Wait until the worker has notified the shop of the end."""
    notified = threading.Event()

    def wait():
        for _ in range(int(PATIENCE_S / LOOK_EVERY_S)):
            notifications.notify_pending(limit=100)
            if notified.wait(LOOK_EVERY_S):
                return True
        return False

    def receive(change, **_kwargs):
        if change.to_status == "delivered":
            notified.set()

    delivery_status_changed.connect(receive)
    yield wait
    delivery_status_changed.disconnect(receive)


def work():
    """Try every call; one whose delivery a webhook holds at that moment is left to a later round."""
    while ApiCall.objects.filter(state=ApiCall.State.DUE, attempts=0).exists():
        Worker(log=lambda _line: None).run_until_idle()


@pytest.mark.parametrize("is_rough", [False, True])
def test_a_parcel_is_delivered(kaspi, until_delivered, is_rough):
    """Booked by a worker, moved by webhooks: also if they come twice and out of order, and an answer was lost."""
    kaspi.webhooks.duplicate, kaspi.webhooks.reorder = is_rough, 3 if is_rough else 0
    if is_rough:
        kaspi.faults.add(Fault(operation="create", drop="after"))
    order = Order.objects.create()
    work()
    assert until_delivered()
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.calls.get().state) == ("delivered", "done")
    assert len(kaspi.deliveries_for(f"order-{order.pk}")) == 1
    steps = StatusChange.objects.values_list("to_status", flat=True)
    assert sorted(steps) == sorted(["created", "accepted", "in_transit", "out_for_delivery", "delivered"])
