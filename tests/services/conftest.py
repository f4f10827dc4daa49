"""Rows in the states that the services meet."""

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery
from tests.shop.models import Order


@pytest.fixture
def due(world):
    """Return a create that is due, never sent."""
    order = Order.objects.create()
    call = ApiCall.objects.get(delivery__object_id=str(order.pk))
    assert call.state == "due"
    return call


@pytest.fixture
def booked(due, drain):
    """Return a delivery that Kaspi has booked."""
    drain()
    return Delivery.objects.get(pk=due.delivery_id)


def fresh(row):
    """Return the row as the database has it."""
    return type(row).objects.get(pk=row.pk)
