"""All figures at one moment, and as a document for programs."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kaspi_delivery_django.stats import accounts, days, recent, snapshot
from kaspi_delivery_django.stats.accounts import AccountStats
from kaspi_delivery_django.stats.snapshot import Snapshot

AN_HOUR = timedelta(hours=1)
Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the figures said when they were read.

    The failed attempts are those of the last hour, calls and webhooks those of the last day, durations and
    days those of the last week.
    """

    snapshot: Snapshot
    accounts: Sequence[AccountStats]
    failed_attempts: Mapping[tuple[str, int | None], int]
    calls_ended: Mapping[tuple[str, str], int]
    webhooks: recent.Webhooks
    durations: recent.Durations
    days: Sequence[days.Day]

    @property
    def failures(self) -> Mapping[str, int]:
        """The failed tries by the class of their answer."""
        found = Counter(dict.fromkeys(recent.CLASSES, 0))
        for (_kind, http_status), count in self.failed_attempts.items():
            found[recent.answer_class(http_status)] += count
        return found


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """A figure that is past its limit, both counts or seconds. A value of infinity: what was awaited never came."""

    figure: str
    value: float
    limit: float


def read() -> Report:
    """Read them. Costs the same however many rows there are."""
    found = snapshot.read()
    now = found.read_at
    return Report(
        snapshot=found,
        accounts=accounts.read(),
        failed_attempts=recent.failed_attempts(now, within=AN_HOUR),
        calls_ended=recent.calls_ended(now),
        webhooks=recent.webhooks(now),
        durations=recent.durations(now),
        days=days.read(),
    )


def total(counts: Mapping[str, int]) -> int:
    """Add up counts of which each stops at `counting.MOST` + 1; the sum stops there too."""
    return min(sum(counts.values()), snapshot.MAX_COUNT + 1)


def document(report: Report, crossings: Sequence[Crossing]) -> Document:
    """Return the report in the types of JSON: durations in seconds, times in ISO 8601 and UTC, null for never."""
    now = report.snapshot.read_at
    return {
        "read_at": _iso(now),
        "counted_up_to": snapshot.MAX_COUNT,
        "crossed": [_crossing(crossing) for crossing in crossings],
        **_standing(report.snapshot),
        "accounts": [_account(account, now) for account in report.accounts],
        "last_hour": {"failed_attempts": dict(report.failures)},
        "last_day": _last_day(report),
        "last_week": _last_week(report),
    }


def by_word(deliveries: Mapping[str, int]) -> Mapping[str, int]:
    """Give the deliveries that Kaspi has no word for a word of ours."""
    return {status or snapshot.NOT_BOOKED: count for status, count in deliveries.items()}


def _standing(found: snapshot.Snapshot) -> Document:
    return {
        "deliveries": by_word(found.deliveries),
        "overdue": found.overdue,
        "attention": dict(found.attention),
        "attention_total": total(found.attention),
        "dead_letters": dict(found.dead_letters),
        "dead_letters_total": total(found.dead_letters),
        "calls": dict(found.calls),
        "actions": {"waiting": found.actions_waiting, "refused": found.actions_refused},
        "oldest_due": {"at": _iso(found.oldest_due_at), "age_seconds": _seconds(found.oldest_due_age)},
        "last_webhook": {"at": _iso(found.last_webhook_at), "age_seconds": _seconds(found.silence)},
    }


def _account(account: AccountStats, now: datetime) -> Document:
    return {
        "account": account.alias,
        "environment": account.environment,
        "gate_closed": account.is_closed,
        "closed_until": _iso(account.closed_until),
        "closed_reason": account.closed_reason,
        "announcement": account.announced(now),
        "worker_seen_at": _iso(account.worker_seen_at),
        "worker_age_seconds": _seconds(account.worker_age(now)),
        "worker_trouble": account.worker_trouble,
        "held_at": _iso(account.held_at),
        "held_by": account.held_by,
    }


def _last_day(report: Report) -> Document:
    ended = sorted(report.calls_ended.items())
    return {
        "calls_ended": [{"kind": str(kind), "state": str(state), "count": count} for (kind, state), count in ended],
        "webhooks": {
            "events": report.webhooks.events,
            "repeated": report.webhooks.repeated,
            "most_attempts": report.webhooks.most_attempts,
        },
    }


def _last_week(report: Report) -> Document:
    return {
        "status_changes": [{"date": day.date.isoformat(), "changes": dict(day.changes)} for day in report.days],
        "delivered": report.durations.deliveries,
        "median_seconds": _seconds(report.durations.median),
        "p90_seconds": _seconds(report.durations.p90),
    }


def _crossing(crossing: Crossing) -> Document:
    value = None if math.isinf(crossing.value) else crossing.value
    return {"figure": crossing.figure, "value": value, "limit": crossing.limit}


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()
