"""The last day and week: how calls ended, how webhooks came, why deliveries were cancelled, how long they took."""

from datetime import timedelta

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt
from kaspi_delivery_django.stats import recent
from tests.conftest import event
from tests.shop.models import Order

rows = pytest.mark.django_db(transaction=True)


@rows
def test_calls_are_counted_by_kind_and_end(booked, fake_clock):
    """Those of the last day; attempts that failed by their status, no response apart."""
    ApiCall.objects.update(updated_at=fake_clock.now)
    assert recent.calls_ended(fake_clock.now) == {("create", "done"): 1}
    assert recent.calls_ended(fake_clock.now + timedelta(days=2)) == {}
    for http_status in (503, 503, None):
        call = ApiCall.objects.get()
        FailedAttempt.objects.create(call=call, kind="create", at=fake_clock.now, http_status=http_status)
    assert recent.failed_attempts(fake_clock.now) == {("create", 503): 2, ("create", None): 1}


@rows
def test_webhooks_that_came_again_are_counted(booked, post_webhook, fake_clock):
    """By Kaspi's own attempt, and by ours."""
    post_webhook(event(booked, "accepted"))
    post_webhook(event(booked, "in_transit", event_id="wh_2", attempt=3))
    assert recent.webhooks(fake_clock.now) == recent.Webhooks(events=2, repeated=1, most_attempts=3)
    post_webhook(event(booked, "accepted"))
    assert recent.webhooks(fake_clock.now).repeated == 2


@rows
def test_the_reasons_of_cancels_are_counted(kaspi, fake_clock):
    """The most frequent first."""
    for reason in ("out of stock", "too late", "out of stock"):
        row = Delivery.objects.filter(object_id=str(Order.objects.create().pk))
        row.update(cancel_requested_at=fake_clock.now, cancel_reason=reason)
    assert recent.cancel_reasons(fake_clock.now) == [("out of stock", 2), ("too late", 1)]


@rows
@pytest.mark.parametrize(
    ("seconds", "median", "p90"),
    [
        ([hours * 3600 for hours in range(1, 11)], timedelta(hours=5), timedelta(hours=9)),
        ([20], *[timedelta(0, 20)] * 2),
    ],
)
def test_durations_are_from_the_booking_to_the_door(kaspi, fake_clock, seconds, median, p90):
    """Median and nine tenths, to the second."""
    for number in seconds:
        row = Delivery.objects.filter(object_id=str(Order.objects.create().pk))
        row.update(status="delivered", status_at=fake_clock.now, created_at=fake_clock.now - timedelta(seconds=number))
    assert recent.durations(fake_clock.now) == recent.Durations(deliveries=len(seconds), median=median, p90=p90)


@pytest.mark.parametrize(
    ("counts", "share", "value"),
    [({}, 0.5, None), ({3: 1}, 0.9, 3), ({1: 1, 2: 1}, 0.5, 1), ({1: 1, 2: 1}, 0.51, 2), ({5: 9, 100: 1}, 0.9, 5)],
)
def test_percentiles_of_counted_values(counts, share, value):
    """The least value that the share does not exceed."""
    assert recent.percentile(counts, share) == value
