"""A delivery to race for."""

import pytest

from kaspi_delivery_django.models import Delivery
from tests.shop.models import Order


@pytest.fixture
def booked(world, drain):
    """Return a delivery that Kaspi has booked."""
    Order.objects.create()
    drain()
    return Delivery.objects.get()
