"""Adapters, signals and linked deliveries for the tests of deliveries."""

import pytest

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.signals import delivery_created, delivery_needs_attention, delivery_status_changed
from tests.shop.models import Order


@pytest.fixture
def use_adapter(settings):
    """Put other adapters of `tests.shop.adapters` in ORDER_ADAPTERS."""

    def use(*names):
        paths = [f"tests.shop.adapters.{name}" for name in names]
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": paths}

    return use


@pytest.fixture
def signals():
    """Record the signals to the shop: "booked", the new status, or the reason for manual review."""
    found = []

    def record_booking(**_kwargs):
        found.append("booked")

    def record_change(change, **_kwargs):
        found.append(change.to_status)

    def record_attention(attention, **_kwargs):
        found.append(attention)

    receivers = {
        delivery_created: record_booking,
        delivery_status_changed: record_change,
        delivery_needs_attention: record_attention,
    }
    for signal, receiver in receivers.items():
        signal.connect(receiver)
    yield found
    for signal, receiver in receivers.items():
        signal.disconnect(receiver)


@pytest.fixture
def flags():
    """Record the reasons of `delivery_needs_attention`."""
    found = []

    def record(attention, **_kwargs):
        found.append(attention)

    delivery_needs_attention.connect(record)
    yield found
    delivery_needs_attention.disconnect(record)


@pytest.fixture
def make_linked(db):
    """Save an order, and return its delivery as if Kaspi had booked it."""

    def make(**fields):
        order = Order.objects.create()
        delivery = Delivery.objects.get(object_id=str(order.pk))
        delivery.calls.update(state="done", next_attempt_at=None)
        columns = {"delivery_id": f"dlv_{order.pk}", "status": "created", **fields}
        Delivery.objects.filter(pk=delivery.pk).update(**columns)
        delivery.refresh_from_db()
        return delivery

    return make
