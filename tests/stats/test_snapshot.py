"""The current state: every count, in one statement, and each with a bound."""

from datetime import timedelta

import pytest

from kaspi_delivery_django.models import Delivery, PendingAction
from kaspi_delivery_django.stats import snapshot
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def test_all_of_it_takes_one_statement(booked, django_assert_num_queries):
    """Each status and each reason has its count, zero included; nothing is due."""
    with django_assert_num_queries(1):
        found = snapshot.read()
    assert found.deliveries == {"": 0, "created": 1, "accepted": 0, "in_transit": 0, "out_for_delivery": 0, "other": 0}
    assert set(found.attention.values()) == {0}
    assert found.oldest_due_age == timedelta(0)


@pytest.mark.parametrize(
    ("columns", "count"),
    [
        ({"attention": "too_old"}, lambda found: found.attention["too_old"]),
        ({"delivery_by": timedelta(minutes=-1)}, lambda found: found.overdue),
        ({"status": "teleported", "next_refresh_at": timedelta(0)}, lambda found: found.deliveries["other"]),
    ],
    ids=["attention", "overdue", "unknown status"],
)
def test_a_delivery_is_counted_while_it_is_open(booked, fake_clock, columns, count):
    """By the reason of its attention, past its promise, or in a status that is new to us."""
    assert count(snapshot.read()) == 0
    at = {name: fake_clock.now + value for name, value in columns.items() if isinstance(value, timedelta)}
    Delivery.objects.update(**{**columns, **at})
    assert count(snapshot.read()) == 1
    Delivery.objects.update(status="delivered", attention="", next_refresh_at=None)
    assert count(snapshot.read()) == 0


def test_pending_actions_are_counted_apart_from_refused_ones(booked, fake_clock):
    """Both are of staff."""
    for failed_at in (None, None, fake_clock.now):
        PendingAction.objects.create(name="refresh", delivery=booked, created_at=fake_clock.now, failed_at=failed_at)
    found = snapshot.read()
    assert (found.actions_waiting, found.actions_refused) == (2, 1)


def test_a_count_stops_at_its_bound(kaspi, monkeypatch):
    """More than that many is that many and one."""
    for _ in range(4):
        Order.objects.create()
    monkeypatch.setattr(snapshot, "MAX_COUNT", 2)
    rows = snapshot.CountUpTo(Delivery.objects.all())
    assert snapshot.read_together({"few": rows}) == {"few": 3}
