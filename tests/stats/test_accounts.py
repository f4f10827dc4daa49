"""What is known of each account."""

from datetime import timedelta

import pytest

from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.stats import accounts

pytestmark = pytest.mark.django_db


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
