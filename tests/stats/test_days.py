"""The steps of the last days: by the shop's own midnights, and kept once a day is over."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.cache import cache
from django.db import connection

from kaspi_delivery_django.models import StatusChange
from kaspi_delivery_django.stats import days

pytestmark = pytest.mark.django_db(transaction=True)


def step(delivery, at, to_status="accepted", **columns):
    """Record one step at a time."""
    return StatusChange.objects.create(
        delivery=delivery, to_status=to_status, at=at, source="webhook", created_at=at, notify_after=at, **columns
    )


def counted():
    """Return the changes of each day that has any."""
    return {day.date: day.changes for day in days.read() if day.changes}


def test_a_week_ends_today(booked, turnable):
    """Seven days, the oldest first."""
    dates = [day.date for day in days.read()]
    assert dates == [date(2026, 2, 23) + timedelta(days=number) for number in range(7)]


def test_a_day_begins_at_the_shops_midnight(booked, turnable):
    """19:30 UTC is half past midnight in Almaty."""
    StatusChange.objects.all().delete()
    step(booked, datetime(2026, 2, 27, 18, 59, tzinfo=UTC))
    step(booked, datetime(2026, 2, 27, 19, 30, tzinfo=UTC), "in_transit")
    assert counted() == {date(2026, 2, 27): {"accepted": 1}, date(2026, 2, 28): {"in_transit": 1}}


def test_late_news_is_no_step(booked, turnable):
    """It was kept, not applied."""
    StatusChange.objects.all().delete()
    step(booked, turnable.now, applied=False)
    assert counted() == {}


def test_all_days_take_one_statement_and_then_none(booked, django_assert_num_queries):
    """The first look counts, the next ones remember."""
    with django_assert_num_queries(1):
        days.read()
    with django_assert_num_queries(0):
        days.read()


def test_today_is_counted_anew_and_the_past_is_not(booked, turnable, django_assert_num_queries):
    """When a new day begins, yesterday is counted as what it was."""
    days.read()
    turnable.turn(days=1)
    step(booked, turnable.now, "delivered")
    with django_assert_num_queries(1):
        found = counted()
    assert found[date(2026, 3, 1)] == {"created": 1}
    assert found[date(2026, 3, 2)] == {"delivered": 1}


@pytest.mark.parametrize("method", ["get_many", "set"])
def test_a_cache_that_is_away_costs_time_only(booked, monkeypatch, method, caplog):
    """The figures are read from the tables."""

    def fail(*_args, **_kwargs):
        raise ConnectionError("redis://:password@host")

    monkeypatch.setattr(type(cache._connections[cache._alias]), method, fail)
    assert counted() == {date(2026, 3, 1): {"created": 1}}
    assert "password" not in caplog.text


@pytest.mark.parametrize("what", ["schema_name", "NAME"])
def test_tenants_share_no_figures(monkeypatch, what):
    """They may have one alias and one cache, and a schema or a database each."""
    before = days._key(date(2026, 3, 1))
    if what == "NAME":
        monkeypatch.setitem(connection.settings_dict, "NAME", "another")
    else:
        monkeypatch.setattr(connection, "schema_name", "almaty", raising=False)
    assert days._key(date(2026, 3, 1)) != before
