"""What is seen without Kaspi: checks, migrations, clocks, workers, gates, what waits."""

from datetime import timedelta

import pytest
from django.core.checks import Error
from django.core.checks import Warning as Caution
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from kaspi_delivery_django.doctor import local
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.stats import accounts, snapshot
from kaspi_delivery_django.stats.report import Report
from tests.conftest import NOON, event

pytestmark = pytest.mark.django_db(transaction=True)


def seen(**changes):
    """Write down what is known of the account."""
    AccountState.objects.create(account="default", environment="sandbox", **changes)


def by_name(findings):
    """Return the findings by their names."""
    return {found.name: found for found in findings}


@pytest.fixture
def of_account(turnable):
    """Judge the account as it stands in the tables."""
    return lambda: by_name(local.judge_account(accounts.read()[0], snapshot.read()))


@pytest.fixture
def of_house(turnable):
    """Judge what waits, as it stands in the tables."""
    return lambda: by_name(local.judge_snapshot(Report()))


def test_our_checks_are_findings_with_their_hints():
    """A warning of ours keeps something from being sent or received."""
    [found] = local.judge_checks([Caution("A key is missing.", hint="Set it.", obj="almaty", id="kaspi_delivery.W002")])
    assert (found.verdict, found.todo) == ("fail", "Set it.")
    assert found.says == "kaspi_delivery.W002: A key is missing. (almaty)"


@pytest.mark.parametrize("number", ["W011", "W012"])
def test_what_is_right_in_the_sandbox_is_to_be_confirmed(number):
    """It must be gone before the first parcel."""
    [found] = local.judge_checks([Caution("ENVIRONMENT is sandbox.", id=f"kaspi_delivery.{number}")])
    assert found.verdict == "yours"


def test_a_secret_that_kaspi_issued_short_is_to_be_confirmed():
    """The shop cannot make it longer."""
    [found] = local.judge_checks([Caution("It is short.", id="kaspi_delivery.W033")])
    assert found.verdict == "yours"


def test_checks_of_others_are_counted():
    """They are the project's own business, and `check --deploy` says them better."""
    of_django = [Caution("HSTS", id="security.W004"), Error("A field", id="models.E001")]
    ours, others = local.judge_checks(of_django)
    assert (ours.verdict, others.verdict) == ("pass", "yours")
    assert "2 messages, 1 of them errors" in others.says


def test_the_checks_that_run_are_those_of_a_deployment(settings):
    """Without what the project has silenced."""
    ids = {message.id for message in local.project_checks()}
    assert "kaspi_delivery.W011" in ids
    settings.SILENCED_SYSTEM_CHECKS = ["kaspi_delivery.W011"]
    assert {message.id for message in local.project_checks()} == ids - {"kaspi_delivery.W011"}


def test_migrations_that_are_applied():
    """All of ours."""
    assert local.migrations().verdict == "pass"


def test_migrations_that_are_not_are_named():
    """The first of them, and the command."""
    recorder = MigrationRecorder(connection)
    names = [name for app, name in recorder.applied_migrations() if app == "kaspi_delivery"]
    last = max(names)
    recorder.record_unapplied("kaspi_delivery", last)
    try:
        found = local.migrations()
    finally:
        recorder.record_applied("kaspi_delivery", last)
    assert (found.verdict, last in found.says, "migrate" in found.todo) == ("fail", True, True)


def test_migrations_of_other_apps_are_their_own_business():
    """Only our tables are asked for."""
    recorder = MigrationRecorder(connection)
    last = max(name for app, name in recorder.applied_migrations() if app == "sessions")
    recorder.record_unapplied("sessions", last)
    try:
        assert local.migrations().verdict == "pass"
    finally:
        recorder.record_applied("sessions", last)


def test_the_database_has_a_clock_of_its_own(monkeypatch):
    """Which leases go by."""
    assert local.database_clock().verdict == "pass"
    monkeypatch.setattr(clock, "database_now", lambda _using: clock.now() + timedelta(minutes=5))
    assert local.database_clock().verdict == "fail"


def test_a_worker_that_was_seen(of_account):
    """A moment ago."""
    seen(worker_seen_at=NOON)
    assert of_account()["worker"].verdict == "pass"


def test_a_worker_that_died(of_account, turnable):
    """It says since when, and what to start."""
    seen(worker_seen_at=NOON)
    turnable.turn(minutes=7)
    found = of_account()["worker"]
    assert (found.verdict, "7 min" in found.says, "kaspi_worker" in found.todo) == ("fail", True, True)


def test_a_worker_that_never_was(of_account):
    """A new shop has forgotten it."""
    assert of_account()["worker"].says == "None was ever seen."


def test_gates(of_account):
    """A closed one has its reason, and says what opens it."""
    assert of_account()["gate"].verdict == "pass"
    seen(closed_until=NOON, closed_reason="Kaspi answered the booking with an error (status=401)")
    found = of_account()["gate"]
    assert (found.verdict, "status=401" in found.says) == ("fail", True)


def test_a_backlog(of_house, due, turnable):
    """A call that is due, and that nobody has sent for a quarter of an hour."""
    assert of_house()["backlog"].verdict == "pass"
    turnable.turn(minutes=20)
    assert of_house()["backlog"].verdict == "fail"
    ApiCall.objects.all().delete()
    assert of_house()["backlog"].verdict == "pass"


def test_silence_says_nothing_while_nothing_is_on_its_way(of_house):
    """Nobody has news."""
    assert of_house()["silence"].verdict == "pass"


def test_silence_while_something_is_on_its_way(of_house, booked, post_webhook, turnable):
    """No webhook ever, one lately, none for long."""
    never = of_house()["silence"]
    post_webhook(event(booked, "accepted"))
    lately = of_house()["silence"]
    turnable.turn(hours=7)
    long_ago = of_house()["silence"]
    assert (never.verdict, lately.verdict, long_ago.verdict) == ("fail", "pass", "fail")
    assert "no webhook came ever" in never.says
    assert "no webhook came for 420 min" in long_ago.says


def test_what_waits_for_a_person_is_yours(of_house, booked):
    """It is work, and no fault of the installation."""
    assert of_house()["people"].verdict == "pass"
    Delivery.objects.update(attention="order_edited")
    assert of_house()["people"].verdict == "yours"
