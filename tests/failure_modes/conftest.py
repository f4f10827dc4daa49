"""An order whose booking meets a fault, and what is left of it."""

import pytest

from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.sandbox.faults import Fault
from tests.shop.models import Order


@pytest.fixture
def attempt(kaspi, drain):
    """Make the first attempt of a booking end in a fault; return its call as it stands then."""

    def run(times=1, **fault):
        kaspi.webhook_url = None  # nothing but the answer tells us
        kaspi.faults.add(Fault(operation="create", times=times, **fault))
        Order.objects.create()
        drain()
        return ApiCall.objects.get(kind="create")

    return run


@pytest.fixture
def creates(kaspi):
    """Return the POSTs that would book, so far."""
    return lambda: [request for request in kaspi.requests if request.path.endswith("/deliveries")]
