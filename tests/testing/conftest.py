"""The kit's own fixture, as a shop gets it, and an order."""

import pytest

from kaspi_delivery_django.testing.fixtures import kaspi
from tests.shop.models import Order

__all__ = ["kaspi"]
REAL = {"API_KEY": "a-real-key", "WEBHOOK_SECRETS": ["a-real-secret-of-thirty-two-characters"]}
TWO_ACCOUNTS = {"almaty": REAL, "astana": REAL}


@pytest.fixture
def order(kaspi):
    """A paid order, saved inside of the sandbox."""
    return Order.objects.create()
