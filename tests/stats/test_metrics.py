"""The list of metrics: one limit for the dashboard, the doctor, the report and Prometheus."""

import pytest
from django.core.management import CommandError, call_command

from kaspi_delivery_django.doctor import local
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.stats import alerts, metrics
from kaspi_delivery_django.stats.report import Report
from tests.conftest import event

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def words():
    """Return the dashboard's alerts."""
    return lambda: [alert.words for alert in alerts.find(Report())]


def outcome(name):
    """Return the doctor's outcome of this name."""
    return next(str(found.verdict) for found in local.judge_snapshot(Report()) if found.name == name)


@pytest.fixture
def is_reported():
    """Return whether the report with the limit of the list exits with 1."""

    def run(option, name):
        try:
            call_command("kaspi_report", **{option: metrics.METRICS[name].limit})
        except (SystemExit, CommandError):
            return True
        return False

    return run


@pytest.mark.parametrize("seconds_more", [-60, 60])
def test_silence_has_one_limit(booked, post_webhook, turnable, words, is_reported, seconds_more):
    """The dashboard's alert, the doctor's failure and the report's exit code come at the same moment."""
    post_webhook(event(booked, "accepted"))
    turnable.turn(seconds=metrics.METRICS["silence"].limit + seconds_more)
    is_alert = any("no webhook" in text for text in words())
    assert (is_alert, outcome("silence") == "fail", is_reported("max_silence", "silence")) == (seconds_more > 0,) * 3


@pytest.mark.parametrize("seconds_more", [-60, 60])
def test_a_due_call_has_one_limit(due, turnable, words, is_reported, seconds_more):
    """As above."""
    turnable.turn(seconds=metrics.METRICS["due_age"].limit + seconds_more)
    is_alert = any("has been due" in text for text in words())
    assert (is_alert, outcome("backlog") == "fail", is_reported("max_due_age", "due_age")) == (seconds_more > 0,) * 3


@pytest.mark.parametrize("seconds_more", [-60, 60])
def test_a_worker_has_one_limit(turnable, words, is_reported, seconds_more):
    """As above; a worker is noted once per account."""
    AccountState.objects.create(account="default", environment="sandbox", worker_seen_at=turnable.now)
    turnable.turn(seconds=metrics.METRICS["worker_age"].limit + seconds_more)
    is_alert = any("No worker" in text for text in words())
    report = Report()
    [account] = report.accounts
    found = {one.name: str(one.verdict) for one in local.judge_account(account, report.snapshot)}
    is_failure = found["worker"] == "fail"
    assert (is_alert, is_failure, is_reported("max_worker_age", "worker_age")) == (seconds_more > 0,) * 3
