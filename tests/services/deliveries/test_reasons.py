"""A delivery shows one reason at a time; when that is over, what else waits for a person is shown."""

import pytest

from kaspi_delivery_django.exceptions import CannotRetry
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import acknowledge_delivery, cancel_delivery, refresh_delivery, retry_delivery
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def doubtful(booked, turnable):
    """Return a delivery of which nobody knows whether it is cancelled."""
    cancel_delivery(booked, reason="no")
    wait_for_a_person("cancel", "cancel_unknown", unknown_since=turnable.now)
    Delivery.objects.update(attention="cancel_unknown")
    return fresh(booked)


def wait_for_a_person(kind, reason, **columns):
    """Let the calls of this kind wait for a person."""
    ApiCall.objects.filter(kind=kind).update(state="stuck", reason=reason, next_attempt_at=None, **columns)


def not_found_three_times(delivery, kaspi, drain, turnable):
    """Let Kaspi not know the delivery for more than a day."""
    kaspi.faults.add(Fault(operation="get", status=404, times=3))
    refresh_delivery(delivery)
    for _ in range(3):
        drain()
        turnable.turn(hours=13)


def test_a_good_answer_uncovers_a_cancel_that_waits(doubtful, kaspi, drain, turnable):
    """Kaspi did not know the delivery for a while: that hides the cancel, and must not end it."""
    not_found_three_times(doubtful, kaspi, drain, turnable)
    assert fresh(doubtful).attention == "not_found"
    refresh_delivery(doubtful)
    drain()
    assert fresh(doubtful).attention == "cancel_unknown"


def test_an_edit_that_was_hidden_is_noticed_again(booked, kaspi, drain, turnable):
    """By the refresh that ends what hid it."""
    Order.objects.update(address="Satpaev 22, Almaty")
    not_found_three_times(booked, kaspi, drain, turnable)
    for _ in range(2):
        refresh_delivery(booked)
        drain()
    assert fresh(booked).attention == "order_edited"


def test_a_retry_clears_only_what_is_tried(booked, drain):
    """A cancel that Kaspi refused for the same reason is not tried again."""
    cancel_delivery(booked, reason="no")
    ApiCall.objects.filter(kind="cancel").update(state="refused", reason="not_found", next_attempt_at=None)
    refresh_delivery(booked)
    wait_for_a_person("refresh", "not_found")
    Delivery.objects.update(attention="not_found")
    retry_delivery(booked)
    assert fresh(booked).attention == "not_found"
    assert ApiCall.objects.get(kind="refresh").state == "due"


def test_who_acknowledges_one_reason_sees_the_next(booked):
    """A refresh that waits behind it is not given up unseen: else nobody would ask about the parcel again."""
    refresh_delivery(booked)
    wait_for_a_person("refresh", "not_found")
    Delivery.objects.update(attention="cancel_refused", next_refresh_at=None)
    acknowledge_delivery(booked)
    assert fresh(booked).attention == "not_found"
    assert ApiCall.objects.get(kind="refresh").state == "stuck"


def test_a_cancel_whose_key_is_old_is_not_offered_for_a_retry(doubtful, turnable):
    """It could never go; cancelling again uses the next key."""
    turnable.turn(hours=23)
    with pytest.raises(CannotRetry, match="cancel the delivery again"):
        retry_delivery(doubtful)
    cancel_delivery(doubtful)
    assert fresh(doubtful).attention == ""
    assert ApiCall.objects.get(state="due", kind="cancel").idempotency_key.endswith("-cancel-2")


def test_a_call_that_may_go_is_not_held_up_by_one_that_may_not(doubtful, turnable):
    """The refresh is tried; the cancel goes on asking for a person."""
    refresh_delivery(doubtful)
    wait_for_a_person("refresh", "not_found")
    turnable.turn(hours=23)
    retry_delivery(doubtful)
    assert ApiCall.objects.get(kind="refresh").state == "due"
    assert fresh(doubtful).attention == "cancel_unknown"


def test_an_end_ends_the_cancels_that_wait(doubtful, kaspi, drain):
    """Kaspi's own word is that it is cancelled: nothing is left to ask a person."""
    kaspi.move(doubtful.delivery_id, "cancelled")
    refresh_delivery(doubtful)
    drain()
    assert fresh(doubtful).attention == ""
    assert ApiCall.objects.get(kind="cancel").state == "done"


def test_a_second_reason_does_not_replace_the_one_that_is_sent(booked):
    """What the history says is what Kaspi was told."""
    cancel_delivery(booked, reason="wrong size")
    cancel_delivery(booked, reason="out of stock")
    assert fresh(booked).cancel_reason == "wrong size"
    assert "wrong size" in ApiCall.objects.get(kind="cancel").payload
