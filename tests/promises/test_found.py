"""What the machine has found, each as the shortest story that shows it."""

import pytest

from kaspi_delivery_django.models import Attention, Delivery, WebhookEvent
from kaspi_delivery_django.services import cancel_delivery, refresh_delivery
from kaspi_delivery_django.services.deliveries import events
from tests.conftest import event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_event_that_failed_is_taken_in_again_while_the_fault_lasts(kaspi, drain, post_webhook, monkeypatch):
    """A redelivery of an event that still cannot be applied is answered 200 and counted, as any redelivery is."""

    def broken(*_args):
        raise ZeroDivisionError

    Order.objects.create()
    drain()
    document = event(Delivery.objects.get(), "accepted")
    monkeypatch.setattr(events, "link_and_apply", broken)
    assert [post_webhook(document).status_code for _ in range(2)] == [200, 200]
    kept = WebhookEvent.objects.get()
    assert (kept.state, kept.received_count) == ("failed", 2)


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
