"""An order whose booking meets a fault, and what is left of it."""

import pytest

from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.sandbox.faults import Fault
from tests.shop.models import Order


@pytest.fixture
def attempt(world, drain):
    """Make the first attempt of a booking end in a fault; return its call as it stands then."""

    def run(times=1, **fault):
        world.webhook_url = None  # nothing but the answer tells us
        world.faults.add(Fault(operation="create", times=times, **fault))
        Order.objects.create()
        drain()
        return ApiCall.objects.get(kind="create")

    return run


@pytest.fixture
def creates(world):
    """Return the POSTs that would book, so far."""
    return lambda: [request for request in world.requests if request.path.endswith("/deliveries")]
