"""One order's whole way through the system, in-process: the real services, view and sandbox."""

import pytest

from kaspi_delivery_django.models import Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from tests.shop.models import Line, Order

pytestmark = pytest.mark.django_db(transaction=True)

LIFE = ["accepted", "in_transit", "out_for_delivery", "delivered"]


def test_a_saved_order_becomes_a_delivered_parcel(kaspi, drain, deliver_webhooks, turnable):
    """A saved order is booked once, follows Kaspi's webhooks, and ends delivered."""
    order = Order.objects.create()
    Line.objects.create(order=order, title="A samovar")
    drain()
    delivery = Delivery.objects.get()
    [booked] = kaspi.deliveries_for(f"order-{order.pk}")
    assert (delivery.delivery_id, delivery.status) == (booked.delivery_id, "created")
    assert booked.request["parcel"]["description"] == "A samovar"
    for status in LIFE:
        turnable.turn(minutes=10)
        kaspi.move(booked.delivery_id, status)
        assert [sent.status for sent in deliver_webhooks()][-1] == 200
        drain()
    delivery.refresh_from_db()
    assert delivery.status == "delivered"
    changes = StatusChange.objects.filter(delivery=delivery).order_by("pk")
    assert [change.to_status for change in changes] == ["created", *LIFE]
    assert all(change.notified_at for change in changes)
    assert set(WebhookEvent.objects.values_list("state", flat=True)) == {"applied", "noted"}


def test_a_create_that_timed_out_is_replayed_with_the_same_key(kaspi, drain, turnable):
    """A booking whose answer was lost is found again by the same key and bytes: one parcel."""
    kaspi.faults.add(Fault(operation="create", latency_s=60))
    order = Order.objects.create()
    drain()
    call = Delivery.objects.get().calls.get()
    assert (call.state, call.unknown_since is not None) == ("unknown", True)
    turnable.turn(minutes=1)
    drain()
    call.refresh_from_db()
    assert call.state == "done"
    assert len(kaspi.deliveries_for(f"order-{order.pk}")) == 1
    first, second = [request for request in kaspi.requests if request.method == "POST"]
    assert (first.idempotency_key, first.body) == (second.idempotency_key, second.body)
