"""The kit's own fixture, as a shop gets it, and an order."""

import pytest

from kaspi_delivery_django.testing.fixtures import kaspi
from tests.shop.models import Order

__all__ = ["kaspi"]


@pytest.fixture
def order(kaspi):
    """A paid order, saved inside of the sandbox."""
    return Order.objects.create()
