"""One order's whole way through the system, in-process: the real services, view and sandbox."""

import pytest

from kaspi_delivery_django.models import Delivery, StatusChange, WebhookEvent
from tests.shop.models import Line, Order

pytestmark = pytest.mark.django_db(transaction=True)

LIFE = ["accepted", "in_transit", "out_for_delivery", "delivered"]


def test_a_saved_order_becomes_a_delivered_parcel(kaspi, drain, deliver_webhooks, fake_clock):
    """A saved order is booked once, follows Kaspi's webhooks, and ends delivered."""
    order = Order.objects.create()
    Line.objects.create(order=order, title="A samovar")
    drain()
    delivery = Delivery.objects.get()
    [booked] = kaspi.deliveries_for(f"order-{order.pk}")
    assert (delivery.delivery_id, delivery.status) == (booked.delivery_id, "created")
    assert booked.request["parcel"]["description"] == "A samovar"
    for status in LIFE:
        fake_clock.advance(minutes=10)
        kaspi.move(booked.delivery_id, status)
        assert [sent.status for sent in deliver_webhooks()][-1] == 200
        drain()
    delivery.refresh_from_db()
    assert delivery.status == "delivered"
    changes = StatusChange.objects.filter(delivery=delivery).order_by("pk")
    assert [change.to_status for change in changes] == ["created", *LIFE]
    assert all(change.notified_at for change in changes)
    assert set(WebhookEvent.objects.values_list("state", flat=True)) == {"applied", "noted"}
