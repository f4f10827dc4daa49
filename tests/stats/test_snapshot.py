"""How things stand: every count, in one statement, and never more than what is looked at."""

from datetime import timedelta

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery, PendingAction, WebhookEvent
from kaspi_delivery_django.stats import snapshot
from tests.conftest import event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def test_all_of_it_takes_one_statement(booked, django_assert_num_queries):
    """A dashboard can afford it."""
    with django_assert_num_queries(1):
        found = snapshot.read()
    assert found.deliveries == {"": 0, "created": 1, "accepted": 0, "in_transit": 0, "out_for_delivery": 0, "other": 0}


def test_what_needs_a_person_is_counted_by_its_reason(booked):
    """Each reason has its count, zero included."""
    Delivery.objects.update(attention="too_old")
    found = snapshot.read().attention
    assert found.pop("too_old") == 1
    assert set(found.values()) == {0}


def test_overdue_is_what_should_have_arrived(booked, turnable):
    """And has not."""
    Delivery.objects.update(delivery_by=turnable.now - timedelta(minutes=1))
    assert snapshot.read().overdue == 1
    Delivery.objects.update(status="delivered")
    assert snapshot.read().overdue == 0


def test_dead_letters_are_counted_by_their_state(booked, post_webhook):
    """A parked, a failed, and one in conflict."""
    for number, state in enumerate(WebhookEvent.DEAD_LETTERS):
        post_webhook(event(booked, "accepted", event_id=f"wh_{number}"))
        WebhookEvent.objects.filter(event_id=f"wh_{number}").update(state=state)
    assert snapshot.read().dead_letters == {"parked": 1, "conflict": 1, "failed": 1}


def test_the_oldest_due_call_has_an_age(due, turnable):
    """Since when it should have gone."""
    turnable.turn(minutes=10)
    found = snapshot.read()
    assert found.calls["due"] == 1
    assert found.oldest_due_age >= timedelta(minutes=10)


def test_without_a_due_call_the_age_is_zero(booked):
    """Nothing is late."""
    assert snapshot.read().oldest_due_age == timedelta(0)


def test_silence_is_since_the_last_webhook(booked, post_webhook, turnable):
    """None while Kaspi never sent one."""
    assert snapshot.read().silence is None
    post_webhook(event(booked, "accepted"))
    turnable.turn(hours=3)
    assert snapshot.read().silence == timedelta(hours=3)


def test_handed_over_actions_are_counted(booked, turnable):
    """What waits apart from what was refused."""
    for failed_at in (None, None, turnable.now):
        PendingAction.objects.create(name="refresh", delivery=booked, created_at=turnable.now, failed_at=failed_at)
    found = snapshot.read()
    assert (found.actions_waiting, found.actions_refused) == (2, 1)


def test_a_count_stops_where_nobody_looks_further(drain, monkeypatch):
    """More than that many is that many and one."""
    for _ in range(4):
        Order.objects.create()
    rows = Delivery.objects.all()
    found = snapshot.read_together({"few": snapshot.CountUpTo(rows, most=2)}, using="default")
    assert found == {"few": 3}


def test_calls_that_wait_for_a_person_are_told_apart(due):
    """From those that are due."""
    ApiCall.objects.update(state="stuck", next_attempt_at=None)
    assert snapshot.read().calls["stuck"] == 1


def test_a_word_that_is_new_to_us_is_counted_as_other(booked, turnable):
    """Until it ends: Kaspi is asked about it."""
    Delivery.objects.update(status="teleported", next_refresh_at=turnable.now)
    assert snapshot.read().deliveries["other"] == 1
