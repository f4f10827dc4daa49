"""The state of each account, and the deliveries that none of them serves."""

from datetime import timedelta

import pytest

from kaspi_delivery_django import services
from kaspi_delivery_django.models import AccountState, Delivery
from kaspi_delivery_django.stats import accounts
from kaspi_delivery_django.stats.accounts import Unserved
from kaspi_delivery_django.stats.report import Report

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_account_has_the_state_of_its_environment(fake_clock):
    """Nothing is known before a process wrote it down; another environment's row says nothing of it."""
    AccountState.objects.create(account="default", environment="production", closed_until=fake_clock.now)
    (found,) = accounts.read()
    assert (found.pk, str(found), found.closed_until) == (None, "default (sandbox)", None)
    assert found.worker_age(fake_clock.now) is None
    seen_at = fake_clock.now - timedelta(minutes=2)
    known = {"closed_until": fake_clock.now, "closed_reason": "401", "worker_seen_at": seen_at, "held_by": "ann"}
    stored = AccountState.objects.create(account="default", environment="sandbox", **known)
    (found,) = accounts.read()
    assert found == stored
    assert found.worker_age(fake_clock.now) == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("columns", "count"),
    [
        ({}, 0),
        ({"environment": "production"}, 1),
        ({"account": "almaty"}, 1),
        ({"environment": "production", "next_refresh_at": None, "attention": "configuration_changed"}, 1),
        ({"environment": "production", "next_refresh_at": None}, 0),
        ({"environment": "production", "next_refresh_at": None, "status": "delivered"}, 0),
    ],
    ids=["served", "another environment", "another account", "flagged", "acknowledged", "ended"],
)
def test_open_deliveries_of_other_settings_are_counted(booked, columns, count):
    """No client has their key; a flagged one counts until it is acknowledged."""
    Delivery.objects.update(**columns)
    owner = {"account": columns.get("account", "default"), "environment": columns.get("environment", "sandbox")}
    assert accounts.unserved() == [Unserved(**owner, deliveries=1)] * count


def test_acknowledging_closes_what_the_worker_has_flagged(booked, drain, fake_clock, configure):
    """It is refreshed once, finds no account, and not again."""
    configure(ENVIRONMENT="production", BASE_URL="https://api.kaspi.kz/delivery")
    fake_clock.advance(hours=2)
    drain()
    booked.refresh_from_db()
    assert (booked.attention, len(accounts.unserved())) == ("configuration_changed", 1)
    services.acknowledge_delivery(booked)
    fake_clock.advance(hours=2)
    drain()
    assert accounts.unserved() == []


def test_unserved_deliveries_cost_no_statement_while_there_are_none(booked, django_assert_num_queries):
    """The current state has counted them."""
    found = Report()
    assert found.snapshot.unserved == 0
    with django_assert_num_queries(0):
        assert found.unserved == []
