"""Metrics that operators may set a limit for, and which of the limits are crossed."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from kaspi_delivery_django.stats import recent, snapshot
from kaspi_delivery_django.stats.report import Crossing, Report, total

NEVER = math.inf
A_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One figure that can have a limit. `most` is the greatest limit that a count can cross, None for seconds."""

    says: str
    read: Callable[[Report], float]
    most: int | None = None


def crossed(report: Report, limits: Mapping[str, float]) -> Sequence[Crossing]:
    """Return the figures that are past their limits, in the order of `MEASURES`."""
    found = [
        Crossing(figure=name, value=measure.read(report), limit=limits[name])
        for name, measure in MEASURES.items()
        if name in limits
    ]
    return [crossing for crossing in found if crossing.value > crossing.limit]


def _due_age(report: Report) -> float:
    return report.snapshot.oldest_due_age // A_SECOND


def _silence(report: Report) -> float:
    """Read since when no webhook came, 0 while Kaspi has nothing on its way that it could tell us of."""
    if not report.snapshot.is_expecting_news:
        return 0
    silence = report.snapshot.silence
    return NEVER if silence is None else silence // A_SECOND


def _worker_age(report: Report) -> float:
    ages = [account.worker_age(report.snapshot.read_at) for account in report.accounts]
    return max((NEVER if age is None else age // A_SECOND for age in ages), default=0)


MEASURES: Mapping[str, Measure] = {
    "attention": Measure(
        says="deliveries that need a person",
        read=lambda report: total(report.snapshot.attention),
        most=snapshot.MAX_COUNT,
    ),
    "dead_letters": Measure(
        says="webhook events that are failed, parked or in conflict",
        read=lambda report: total(report.snapshot.dead_letters),
        most=snapshot.MAX_COUNT,
    ),
    "failed_attempts": Measure(
        says="tries of the last hour that failed: 4xx, 5xx, no answer",
        read=lambda report: sum(report.failed_attempts.values()),
        most=recent.SAMPLE - 1,
    ),
    "closed_gates": Measure(
        says="accounts whose gate is closed",
        read=lambda report: sum(account.is_closed for account in report.accounts),
        most=snapshot.MAX_COUNT,
    ),
    "due_age": Measure(says="how long the oldest due call has waited", read=_due_age),
    "silence": Measure(says="how long Kaspi has sent no webhook while it had deliveries on their way", read=_silence),
    "worker_age": Measure(says="how long no worker was seen", read=_worker_age),
}
