"""What is known of each account."""

from datetime import timedelta

import pytest

from kaspi_delivery_django import services
from kaspi_delivery_django.models import AccountState, Delivery
from kaspi_delivery_django.stats import accounts
from kaspi_delivery_django.stats.accounts import Unserved
from kaspi_delivery_django.stats.report import Report

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_account_that_no_process_has_seen(turnable):
    """Its gate is open, and no worker was seen."""
    (found,) = accounts.read()
    assert (found.alias, found.environment, found.closed_until) == ("default", "sandbox", None)
    assert found.worker_age(turnable.now) is None


def test_what_the_processes_wrote_down(turnable):
    """The gate, its reason and the worker's age."""
    AccountState.objects.create(
        account="default",
        environment="sandbox",
        closed_until=turnable.now,
        closed_reason="401",
        worker_seen_at=turnable.now - timedelta(minutes=2),
    )
    (found,) = accounts.read()
    assert (found.closed_until, found.closed_reason) == (turnable.now, "401")
    assert found.worker_age(turnable.now) == timedelta(minutes=2)


def test_another_environments_row_is_not_this_accounts(turnable):
    """The sandbox's closed gate says nothing of production."""
    AccountState.objects.create(account="default", environment="production", closed_until=turnable.now)
    assert accounts.read()[0].closed_until is None


def test_what_the_settings_serve_is_not_unserved(booked):
    """Its account, in its environment."""
    assert accounts.unserved() == []


@pytest.mark.parametrize("own", [{"environment": "production"}, {"account": "almaty"}])
def test_what_was_saved_for_other_settings_is_counted(booked, own):
    """Kaspi is not asked about it: no client has its key."""
    Delivery.objects.update(**own)
    found = {"account": "default", "environment": "sandbox", **own}
    assert accounts.unserved() == [Unserved(**found, deliveries=1)]


def test_a_flagged_one_counts_until_it_is_acknowledged(booked):
    """It is refreshed no more."""
    Delivery.objects.update(environment="production", next_refresh_at=None, attention="configuration_changed")
    assert accounts.unserved() == [Unserved(account="default", environment="production", deliveries=1)]
    Delivery.objects.update(attention="")
    assert accounts.unserved() == []


def test_acknowledging_closes_what_the_worker_has_flagged(booked, drain, turnable, settings):
    """It asks about it once, finds no account, and not again."""
    live = {"ENVIRONMENT": "production", "BASE_URL": "https://api.kaspi.kz/delivery"}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **live}
    turnable.turn(hours=2)
    drain()
    booked.refresh_from_db()
    assert (booked.attention, len(accounts.unserved())) == ("configuration_changed", 1)
    services.acknowledge_delivery(booked)
    turnable.turn(hours=2)
    drain()
    assert accounts.unserved() == []


def test_what_has_ended_elsewhere_is_past(booked):
    """A shop that went live keeps its deliveries of the sandbox."""
    Delivery.objects.update(environment="production", status="delivered", next_refresh_at=None)
    assert accounts.unserved() == []


def test_what_nobody_serves_costs_no_statement_while_there_is_none(booked, django_assert_num_queries):
    """The current state has counted it."""
    found = Report()
    assert found.snapshot.unserved == 0
    with django_assert_num_queries(0):
        assert found.unserved == []
