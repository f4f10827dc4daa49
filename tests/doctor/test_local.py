"""What is seen without Kaspi: checks, migrations, clocks, workers, circuit breakers, pending work."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.checks import Error
from django.core.checks import Warning as Caution
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from kaspi_delivery_django.doctor import probes
from kaspi_delivery_django.doctor.texts import Outcome, worst
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.stats.report import Report
from kaspi_delivery_django.stats.snapshot import Snapshot
from tests.conftest import NOON

rows = pytest.mark.django_db(transaction=True)
EMPTY = Snapshot(
    read_at=NOON,
    deliveries={},
    overdue=0,
    unserved=0,
    attention={},
    dead_letters={},
    calls={},
    actions_waiting=0,
    actions_refused=0,
    oldest_due_at=None,
    oldest_action_at=None,
    last_webhook_at=None,
)
UNDER_WAY = {"deliveries": {"created": 1}}


@pytest.mark.parametrize(
    ("number", "outcome"), [("W002", "fail"), ("W011", "yours"), ("W012", "yours"), ("W033", "yours")]
)
def test_each_check_of_this_app_is_a_finding_with_its_hint(number, outcome):
    """What is right in the sandbox, and a secret that Kaspi issued short, is to be confirmed."""
    message = Caution("A {key} is missing.", hint="Set {it}.", obj="almaty", id=f"kaspi_delivery.{number}")
    [found] = probes.judge_checks([message])
    assert (found.outcome, found.todo) == (outcome, "Set {it}.")
    assert found.message == f"kaspi_delivery.{number}: A {{key}} is missing. (almaty)"


def test_checks_of_others_are_counted():
    """They are the project's own business, and `check --deploy` says them better."""
    of_django = [Caution("HSTS", id="security.W004"), Error("A field", id="models.E001")]
    ours, others = probes.judge_checks(of_django)
    assert (ours.outcome, others.outcome) == ("pass", "yours")
    assert "2 messages, 1 of them errors" in others.message


@rows
def test_the_checks_that_run_are_those_of_a_deployment(settings):
    """Without what the project has silenced."""
    ids = {message.id for message in probes.project_checks()}
    assert "kaspi_delivery.W011" in ids
    settings.SILENCED_SYSTEM_CHECKS = ["kaspi_delivery.W011"]
    assert {message.id for message in probes.project_checks()} == ids - {"kaspi_delivery.W011"}


@pytest.mark.django_db  # in a transaction, which is rolled back
@pytest.mark.parametrize(("app", "outcome"), [(None, "pass"), ("sessions", "pass"), ("kaspi_delivery", "fail")])
def test_migrations_that_are_not_applied_are_named(app, outcome):
    """The first of them, and the command; those of other apps are their own business."""
    recorder = MigrationRecorder(connection)
    last = max((name for label, name in recorder.applied_migrations() if label == app), default="")
    recorder.record_unapplied(app or "", last)
    found = probes.migrations()
    assert found.outcome == outcome
    assert outcome == "pass" or (last in found.message and "migrate" in found.todo)


@rows
def test_the_clock_of_the_database_is_compared(monkeypatch):
    """Leases go by it."""
    assert probes.database_clock().outcome == "pass"
    monkeypatch.setattr(clock, "database_now", lambda _using: clock.now() + timedelta(minutes=5))
    assert probes.database_clock().outcome == "fail"


@pytest.mark.parametrize(
    ("state", "name", "outcome", "message"),
    [
        ({"worker_seen_at": NOON}, "worker", "pass", "One was seen"),
        ({"worker_seen_at": NOON - timedelta(minutes=7)}, "worker", "fail", "None was seen for 7 min"),
        ({}, "worker", "fail", "None was ever seen."),
        ({}, "gate", "pass", "closed"),
        ({"closed_until": NOON, "closed_reason": "(status=401)"}, "gate", "fail", "open: (status=401)."),
    ],
)
def test_each_state_of_an_account(state, name, outcome, message):
    """A worker that died or never ran, and an open circuit breaker with its reason, say what to do."""
    account = AccountState(account="default", environment="sandbox", **state)
    [found] = [one for one in probes.judge_account(account, EMPTY) if one.name == name]
    assert (found.outcome, message in found.message, bool(found.todo)) == (outcome, True, outcome == "fail")


@pytest.mark.parametrize(
    ("changes", "name", "outcome", "message"),
    [
        ({}, "backlog", "pass", "waited 15 min"),
        ({"oldest_due_at": NOON - timedelta(minutes=20)}, "backlog", "fail", "waited 20 min"),
        ({}, "silence", "pass", "nothing to report"),
        (UNDER_WAY, "silence", "fail", "no webhook came ever"),
        ({**UNDER_WAY, "last_webhook_at": NOON}, "silence", "pass", "came within 3 h"),
        ({**UNDER_WAY, "last_webhook_at": NOON - timedelta(hours=7)}, "silence", "fail", "came for 420 min"),
        ({}, "people", "pass", "Nothing needs attention."),
        ({"attention": {"order_edited": 1}}, "people", "yours", "1 deliveries and 0 webhook events"),
        ({"dead_letters": {"failed": 2}}, "people", "yours", "0 deliveries and 2 webhook events"),
    ],
)
def test_pending_work(changes, name, outcome, message):
    """A backlog and silence are faults; what needs attention is work, and no fault of the installation."""
    report = Report()
    report.snapshot = replace(EMPTY, **changes)
    [found] = [one for one in probes.judge_snapshot(report) if one.name == name]
    assert (found.outcome, message in found.message) == (outcome, True)


PASS, FAIL, YOURS = Outcome


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [([], YOURS), ([PASS, PASS], PASS), ([PASS, YOURS], YOURS), ([PASS, YOURS, FAIL], FAIL)],
)
def test_the_worst_outcome_counts(outcomes, expected):
    """What is open, or was not looked at, stays open."""
    assert worst(outcomes) is expected
