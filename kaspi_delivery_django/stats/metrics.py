"""The list of metrics: name, help, how to read it, and its limit.

Report, Prometheus, dashboard and doctor all read it here, so that one value cannot be an alarm on one of them and
pass on another. Counts stop at `snapshot.MAX_COUNT` + 1, durations are in seconds, infinity means "never".
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.models.calls import LOST_AFTER
from kaspi_delivery_django.stats import recent, snapshot
from kaspi_delivery_django.stats.report import Document, Report, by_status, total

NEVER = math.inf
MINUTE_S = 60
HOUR_S = 3600
ACCOUNT = ("account", "environment")
ATTEMPT = ("kind", "answer")

Sample: TypeAlias = tuple[Sequence[str], float]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A value that can have a limit.

    `limit` is what the dashboard and the doctor accept at most. `max_limit` is the greatest limit that a count can
    cross, None for durations.
    """

    help: str
    read: Callable[[Report], float]
    limit: float = 0
    max_limit: int | None = None

    def is_crossed(self, report: Report) -> bool:
        """Return whether the value is above the limit."""
        return self.read(report) > self.limit


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """A metric above its limit. A value of infinity: what is measured never happened."""

    figure: str
    value: float
    limit: float

    def document(self) -> Document:
        """Return it in the types of JSON, null for a value of infinity."""
        return {"figure": self.figure, "value": None if math.isinf(self.value) else self.value, "limit": self.limit}


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """A gauge of Prometheus: one sample for each combination of the labels' values."""

    help: str
    read: Callable[[Report], Iterable[Sample]]
    labels: Sequence[str] = ()


def crossed(report: Report, limits: Mapping[str, float]) -> Sequence[Crossing]:
    """Return the metrics above the limits given, in the order of `METRICS`."""
    values = {name: metric.read(report) for name, metric in METRICS.items() if name in limits}
    return [
        Crossing(figure=name, value=value, limit=limits[name]) for name, value in values.items() if value > limits[name]
    ]


def _silence(report: Report) -> float:
    """Return the seconds since the last webhook; 0 while Kaspi has no delivery under way that it could report on."""
    if not report.snapshot.is_expecting_webhooks:
        return 0
    silence = report.snapshot.silence
    return NEVER if silence is None else silence.total_seconds() // 1


def _worker_age(report: Report) -> float:
    ages = [account.worker_age(report.snapshot.read_at) for account in report.accounts]
    return max((NEVER if age is None else age.total_seconds() // 1 for age in ages), default=0)


METRICS: Mapping[str, Metric] = {
    "attention": Metric(
        help="deliveries that need attention of staff",
        read=lambda report: total(report.snapshot.attention),
        max_limit=snapshot.MAX_COUNT,
    ),
    "dead_letters": Metric(
        help="webhook events that are failed, parked or in conflict",
        read=lambda report: total(report.snapshot.dead_letters),
        max_limit=snapshot.MAX_COUNT,
    ),
    "failed_attempts": Metric(
        help="attempts that failed in the last hour: 4xx, 5xx, no response",
        read=lambda report: sum(report.failed_attempts.values()),
        max_limit=recent.SAMPLE - 1,
    ),
    "closed_gates": Metric(
        help="accounts whose circuit breaker is open",
        read=lambda report: sum(account.is_paused for account in report.accounts),
        max_limit=snapshot.MAX_COUNT,
    ),
    "due_age": Metric(
        help="age of the oldest due call",
        read=lambda report: report.snapshot.oldest_due_age.total_seconds() // 1,
        limit=15 * MINUTE_S,
    ),
    "silence": Metric(
        help="time since Kaspi's last webhook while deliveries were under way", read=_silence, limit=3 * HOUR_S
    ),
    "worker_age": Metric(help="time since a worker was last seen", read=_worker_age, limit=LOST_AFTER.total_seconds()),
}


def _each(counts: Mapping[str, float]) -> Iterator[Sample]:
    return (((key,), count) for key, count in counts.items())


def _one(value: float) -> Iterator[Sample]:
    yield (), value


def _by_account(read: Callable[[AccountState], float]) -> Callable[[Report], Iterator[Sample]]:
    return lambda report: (((one.account, one.environment), read(one)) for one in report.accounts)


def _timestamp(at: datetime | None) -> float:
    return at.timestamp() if at else 0


def _failed_attempts(report: Report) -> Iterable[Sample]:
    failed = Counter[tuple[str, str]]()
    for (kind, http_status), count in report.failed_attempts.items():
        failed[str(kind), recent.answer_label(http_status)] += count
    return failed.items()


GAUGES: Mapping[str, Gauge] = {
    "deliveries": Gauge(
        help="Deliveries that have not ended, by status.",
        labels=("status",),
        read=lambda report: _each(by_status(report.snapshot.deliveries)),
    ),
    "attention": Gauge(
        help="Deliveries that need attention of staff.",
        labels=("reason",),
        read=lambda report: _each(report.snapshot.attention),
    ),
    "dead_letters": Gauge(
        help="Webhook events that took no effect.",
        labels=("state",),
        read=lambda report: _each(report.snapshot.dead_letters),
    ),
    "calls": Gauge(
        help="Calls that are not finished.", labels=("state",), read=lambda report: _each(report.snapshot.calls)
    ),
    "actions": Gauge(
        help="Actions of staff that are pending or were refused.",
        labels=("state",),
        read=lambda report: _each(
            {"waiting": report.snapshot.actions_waiting, "refused": report.snapshot.actions_refused}
        ),
    ),
    "overdue": Gauge(
        help="Deliveries under way past the time that Kaspi promised.",
        read=lambda report: _one(report.snapshot.overdue),
    ),
    "oldest_due_age_seconds": Gauge(
        help="Age of the oldest due call, 0 for none.",
        read=lambda report: _one(report.snapshot.oldest_due_age.total_seconds()),
    ),
    "last_webhook_timestamp_seconds": Gauge(
        help="When the last webhook came, 0 for never.",
        read=lambda report: _one(_timestamp(report.snapshot.last_webhook_at)),
    ),
    "gate_closed": Gauge(
        help="Whether the account's circuit breaker is open: calls wait because of Kaspi's responses.",
        labels=ACCOUNT,
        read=_by_account(lambda account: account.is_paused),
    ),
    "worker_seen_timestamp_seconds": Gauge(
        help="When a worker was last seen, 0 for never.",
        labels=ACCOUNT,
        read=_by_account(lambda account: _timestamp(account.worker_seen_at)),
    ),
    "failed_attempts_last_hour": Gauge(
        help="Attempts that failed in the last hour.", labels=ATTEMPT, read=_failed_attempts
    ),
    "webhook_events_last_day": Gauge(help="Events of the last day.", read=lambda report: _one(report.webhooks.events)),
    "webhook_events_repeated_last_day": Gauge(
        help="Events of the last day sent more than once.", read=lambda report: _one(report.webhooks.repeated)
    ),
    "webhook_most_attempts_last_day": Gauge(
        help="The most attempts of one event.", read=lambda report: _one(report.webhooks.most_attempts)
    ),
}
