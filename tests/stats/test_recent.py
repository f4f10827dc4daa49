"""What happened lately: how calls ended, how webhooks came, why and how long."""

from datetime import timedelta

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt
from kaspi_delivery_django.stats import recent
from tests.conftest import event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def test_calls_are_counted_by_kind_and_end(booked, turnable):
    """Those of the last day."""
    ApiCall.objects.update(updated_at=turnable.now)
    assert recent.calls_ended(turnable.now) == {("create", "done"): 1}
    assert recent.calls_ended(turnable.now + timedelta(days=2)) == {}


def test_failed_attempts_are_counted_by_kind_and_status(due, turnable):
    """No answer is a kind of its own."""
    for http_status in (503, 503, None):
        FailedAttempt.objects.create(call=due, kind="create", at=turnable.now, http_status=http_status)
    assert recent.failed_attempts(turnable.now) == {("create", 503): 2, ("create", None): 1}


def test_webhooks_that_came_again_are_counted(booked, post_webhook, turnable):
    """By Kaspi's own attempt, and by ours."""
    post_webhook(event(booked, "accepted"))
    post_webhook(event(booked, "in_transit", event_id="wh_2", attempt=3))
    found = recent.webhooks(turnable.now)
    assert found == recent.Webhooks(events=2, repeated=1, most_attempts=3)
    post_webhook(event(booked, "accepted"))
    assert recent.webhooks(turnable.now).repeated == 2


def test_no_webhooks_are_zeros(turnable):
    """Not None."""
    assert recent.webhooks(turnable.now) == recent.Webhooks(events=0, repeated=0, most_attempts=0)


def test_the_reasons_of_cancels_are_counted(drain, turnable):
    """The most frequent first."""
    for reason in ("out of stock", "too late", "out of stock"):
        order = Order.objects.create()
        row = Delivery.objects.filter(object_id=str(order.pk))
        row.update(cancel_requested_at=turnable.now, cancel_reason=reason)
    assert recent.cancel_reasons(turnable.now) == [("out of stock", 2), ("too late", 1)]


def test_durations_are_from_the_booking_to_the_door(drain, turnable):
    """Median and nine tenths."""
    for hours in range(1, 11):
        order = Order.objects.create()
        row = Delivery.objects.filter(object_id=str(order.pk))
        row.update(status="delivered", status_at=turnable.now, created_at=turnable.now - timedelta(hours=hours))
    found = recent.durations(turnable.now)
    assert found == recent.Durations(deliveries=10, median=timedelta(hours=5), p90=timedelta(hours=9))


def test_a_duration_of_seconds_is_one(booked, turnable):
    """A courier at the door took 20 s, not 0 min."""
    booked.status, booked.status_at = "delivered", booked.created_at + timedelta(seconds=20)
    booked.save()
    assert recent.durations(turnable.now).median == timedelta(seconds=20)


def test_without_a_delivery_there_is_no_duration(turnable):
    """None, not zero."""
    assert recent.durations(turnable.now) == recent.Durations(deliveries=0, median=None, p90=None)


@pytest.mark.parametrize(
    ("counts", "share", "value"),
    [({}, 0.5, None), ({3: 1}, 0.9, 3), ({1: 1, 2: 1}, 0.5, 1), ({1: 1, 2: 1}, 0.51, 2), ({5: 9, 100: 1}, 0.9, 5)],
)
def test_percentiles_of_counted_values(counts, share, value):
    """The least value that the share does not exceed."""
    assert recent.percentile(counts, share) == value
