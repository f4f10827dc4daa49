"""The parcels of the last days: by the shop's own midnights, and cached once a day is over."""

from datetime import UTC, date, datetime, timedelta
from unittest.mock import Mock

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from kaspi_delivery_django import services
from kaspi_delivery_django.models import StatusChange
from kaspi_delivery_django.stats import cached, days
from tests.conftest import event

pytestmark = pytest.mark.django_db(transaction=True)

TODAY = date(2026, 3, 1)


def step(delivery, at, to_status="delivered", from_status="created", **columns):
    """Record one step at a time."""
    values = {"from_status": from_status, "to_status": to_status, "source": "webhook", **columns}
    return StatusChange.objects.create(delivery=delivery, at=at, created_at=at, notify_after=at, **values)


def counted():
    """Return each day that has any parcels, and what is not zero of it."""
    found = {day.date: {kind: count for kind, count in day.parcels.items() if count} for day in days.read()}
    return {day: parcels for day, parcels in found.items() if parcels}


def test_a_day_begins_at_the_shops_midnight(booked, fake_clock):
    """19:30 UTC is half past midnight in Almaty; seven days, the oldest first, end today."""
    StatusChange.objects.all().delete()
    step(booked, datetime(2026, 2, 27, 18, 59, tzinfo=UTC))
    step(booked, datetime(2026, 2, 27, 19, 30, tzinfo=UTC), "cancelled")
    assert counted() == {date(2026, 2, 27): {"delivered": 1}, date(2026, 2, 28): {"cancelled": 1}}
    assert [day.date for day in days.read()] == [date(2026, 2, 23) + timedelta(days=number) for number in range(7)]


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Auckland"])
def test_the_days_are_the_shops_whoever_reads(fake_clock, zone):
    """A middleware may have activated the reader's own zone."""
    here = days.today(), days.bounds(TODAY)
    with timezone.override(zone):
        assert (days.today(), days.bounds(TODAY)) == here


def test_a_parcel_counts_once_however_many_steps_it_took(booked, post_webhook, fake_clock):
    """Five statuses are one booking and one arrival; so is an arrival that was taken back and came again."""
    for number, status in enumerate(("accepted", "in_transit", "out_for_delivery", "delivered")):
        post_webhook(event(booked, status, event_id=f"wh_{number}"))
    step(booked, fake_clock.now)
    assert counted() == {TODAY: {"booked": 1, "delivered": 1}}


def test_a_parcel_is_booked_by_its_first_step_whichever_that_is(due, fake_clock):
    """A webhook may come before the answer to the booking; what was late and not applied is no step."""
    step(due.delivery, fake_clock.now, applied=False)
    assert counted() == {}
    step(due.delivery, fake_clock.now, "accepted", from_status="")
    assert counted() == {TODAY: {"booked": 1}}


def test_what_was_cancelled_unsent_was_not_booked(due):
    """Kaspi never heard of it."""
    services.cancel_delivery(due.delivery, reason="out of stock")
    assert counted() == {TODAY: {"cancelled": 1}}


def test_a_count_stops_at_its_bound(booked, fake_clock, monkeypatch):
    """One more than the bound says that there are more."""
    monkeypatch.setattr(days, "MAX_COUNT", 2)
    for number in range(2, 5):
        booked.pk, booked.generation = None, number
        booked.external_order_id = booked.delivery_id = f"of {number}"
        booked.save()
        step(booked, fake_clock.now)
    assert counted() == {TODAY: {"booked": 1, "delivered": 3}}


def test_all_days_take_one_statement(booked, django_assert_num_queries):
    """Today is counted each time, so that its number is that of its rows."""
    for _time in range(2):
        with django_assert_num_queries(1) as queries:
            days.read()
    assert queries[0]["sql"].count("DISTINCT") == len(days.KINDS)


def test_today_is_counted_again_and_the_past_is_not(booked, fake_clock):
    """A past day's changes, as by a deletion, are ignored for a week; the version of what is counted is in the name."""
    days.read()
    fake_clock.advance(days=1)
    assert counted() == {TODAY: {"booked": 1}}
    StatusChange.objects.all().delete()
    step(booked, fake_clock.now)
    assert counted() == {TODAY: {"booked": 1}, date(2026, 3, 2): {"delivered": 1}}
    assert "days:2:" in days._name(TODAY)


def test_a_day_that_has_just_ended_is_not_cached(booked, fake_clock):
    """A transaction that began before midnight may commit after it."""
    fake_clock.now = datetime(2026, 3, 1, 19, 5, tzinfo=UTC)
    assert counted() == {TODAY: {"booked": 1}}
    step(booked, fake_clock.now - timedelta(minutes=6))
    assert counted() == {TODAY: {"booked": 1, "delivered": 1}}


@pytest.mark.parametrize("method", ["get_many", "set"])
def test_an_unavailable_cache_costs_time_only(booked, fake_clock, monkeypatch, method, caplog):
    """The figures are read from the tables."""
    fail = Mock(side_effect=ConnectionError("redis://:password@host"))
    monkeypatch.setattr(type(cache._connections[cache._alias]), method, fail)
    fake_clock.advance(days=1)  # so that there is a day to cache
    assert counted() == {TODAY: {"booked": 1}}
    assert "password" not in caplog.text


@pytest.mark.parametrize("what", ["schema_name", "NAME"])
def test_tenants_share_no_cached_figures(monkeypatch, what):
    """They may have one alias and one cache, and a schema or a database each; None is a figure too."""
    cached.keep("a", None, 60)
    assert cached.recall(["a", "b"]) == {"a": None}
    if what == "NAME":
        monkeypatch.setitem(connection.settings_dict, "NAME", "another")
    else:
        monkeypatch.setattr(connection, "schema_name", "almaty", raising=False)
    assert cached.recall(["a"]) == {}
