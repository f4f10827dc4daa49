"""What the machine has found, each as the shortest story that shows it."""

import pytest

from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.services import cancel_delivery, refresh_delivery
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_cancelled_parcel_that_kaspi_revives_is_not_forgotten(kaspi, drain, turnable):
    """The shop wants it cancelled, Kaspi's own word is that it is not: that is sent again, or a person is asked."""
    Order.objects.create()
    drain()
    delivery = Delivery.objects.get()
    kaspi.move(delivery.delivery_id, "cancelled")
    cancel_delivery(delivery)
    for revived in (False, True):
        if revived:
            kaspi.move(delivery.delivery_id, "created")
        refresh_delivery(delivery)
        turnable.turn(minutes=1)
        drain()
    delivery.refresh_from_db()
    waiting = delivery.calls.filter(kind="cancel", next_attempt_at__isnull=False)
    assert delivery.status == "created"
    assert delivery.attention == Attention.CANCEL_REFUSED or waiting.exists()
