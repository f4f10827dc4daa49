"""Adapters, saves, signals, linked deliveries and their statuses at Kaspi, for the tests of deliveries."""

import pytest

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.signals import delivery_created, delivery_needs_attention, delivery_status_changed
from tests.shop.models import Order


@pytest.fixture
def use_adapter(configure):
    """Put other adapters of `tests.shop.adapters` in ORDER_ADAPTERS."""
    return lambda *names: configure(ORDER_ADAPTERS=[f"tests.shop.adapters.{name}" for name in names])


def save(order, **values):
    """Save the order with these values."""
    for name, value in values.items():
        setattr(order, name, value)
    order.save()


def connect(monkeypatch, signal, receiver):
    """Connect a receiver until the end of the test."""
    monkeypatch.setattr(signal, "receivers", list(signal.receivers))
    signal.connect(receiver, weak=False)


@pytest.fixture
def flags(transactional_db, monkeypatch):
    """Record the reasons of `delivery_needs_attention`."""
    found = []
    connect(monkeypatch, delivery_needs_attention, lambda attention, **_kwargs: found.append(attention))
    return found


@pytest.fixture
def signals(flags, monkeypatch):
    """Record the signals to the shop: "booked", the new status, or the reason for manual review."""
    connect(monkeypatch, delivery_created, lambda **_kwargs: flags.append("booked"))
    connect(monkeypatch, delivery_status_changed, lambda change, **_kwargs: flags.append(change.to_status))
    return flags


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


@pytest.fixture
def move(kaspi, drain, deliver_webhooks):
    """Give a delivery a status at Kaspi, and receive its webhook."""

    def run(delivery, status):
        kaspi.move(delivery.delivery_id, status)
        deliver_webhooks()
        drain()
        delivery.refresh_from_db()
        return delivery

    return run
