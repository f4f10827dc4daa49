"""The list of metrics: one limit for the dashboard, the doctor, the report and Prometheus."""

import pytest
from django.core.management import CommandError, call_command

from kaspi_delivery_django.doctor import probes
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.stats import alerts, metrics
from kaspi_delivery_django.stats.report import Report
from tests.conftest import NOON, event

pytestmark = pytest.mark.django_db(transaction=True)


def is_reported(name):
    """Return whether the report with the limit of the list exits with 1."""
    try:
        call_command("kaspi_report", **{f"max_{name}": metrics.METRICS[name].limit})
    except (SystemExit, CommandError):
        return True
    return False


@pytest.fixture
def at_noon(due, drain, post_webhook):
    """Let a worker have been seen at noon, and a call be due or, for "silence", a webhook have come."""

    def run(name):
        AccountState.objects.create(account="default", environment="sandbox", worker_seen_at=NOON)
        if name == "silence":
            drain()
            due.delivery.refresh_from_db()
            post_webhook(event(due.delivery, "accepted"))

    return run


@pytest.mark.parametrize("seconds_more", [-60, 60])
@pytest.mark.parametrize(
    ("name", "words", "finding"),
    [
        ("silence", "no webhook", "silence"),
        ("due_age", "has been due", "backlog"),
        ("worker_age", "No worker", "worker"),
    ],
)
def test_a_metric_has_one_limit(at_noon, fake_clock, name, words, finding, seconds_more):
    """The dashboard's alert, the doctor's failure and the report's exit code come at the same moment."""
    at_noon(name)
    fake_clock.advance(seconds=metrics.METRICS[name].limit + seconds_more)
    report = Report()
    is_alert = any(words in alert.words for alert in alerts.find(report))
    findings = [*probes.judge_snapshot(report), *probes.judge_account(report.accounts[0], report.snapshot)]
    is_failure = any(found.outcome == "fail" for found in findings if found.name == finding)
    assert (is_alert, is_failure, is_reported(name)) == (seconds_more > 0,) * 3
