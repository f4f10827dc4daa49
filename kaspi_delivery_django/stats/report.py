"""All figures at one moment, and as a document for programs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.stats import accounts, days, recent, snapshot
from kaspi_delivery_django.stats.accounts import Unserved
from kaspi_delivery_django.stats.snapshot import Snapshot

AN_HOUR = timedelta(hours=1)
Document = dict[str, Any]


class Report:
    """The statistics at one moment. Each part is read when it is first used; `read` reads all of them.

    The failed attempts are those of the last hour, calls and webhooks those of the last day, durations and
    days those of the last week.
    """

    @cached_property
    def snapshot(self) -> Snapshot:
        """The current state."""
        return snapshot.read()

    @cached_property
    def accounts(self) -> Sequence[AccountState]:
        """The accounts' circuit breakers and workers."""
        return accounts.read()

    @cached_property
    def unserved(self) -> Sequence[Unserved]:
        """The deliveries that no account of the settings serves."""
        return accounts.unserved() if self.snapshot.unserved else []

    @cached_property
    def failed_attempts(self) -> Mapping[tuple[str, int | None], int]:
        """The attempts that failed, by kind of call and HTTP status."""
        return recent.failed_attempts(self.snapshot.read_at, within=AN_HOUR)

    @cached_property
    def calls_ended(self) -> Mapping[tuple[str, str], int]:
        """The calls that ended, by kind and state."""
        return recent.calls_ended(self.snapshot.read_at)

    @cached_property
    def webhooks(self) -> recent.Webhooks:
        """The webhooks received."""
        return recent.webhooks(self.snapshot.read_at)

    @cached_property
    def durations(self) -> recent.Durations:
        """How long deliveries took."""
        return recent.durations(self.snapshot.read_at)

    @cached_property
    def days(self) -> Sequence[days.Day]:
        """The parcels booked, delivered and cancelled day by day."""
        return days.read()

    @property
    def failures(self) -> Mapping[str, int]:
        """The failed attempts by the class of their response."""
        found = Counter(dict.fromkeys(recent.CLASSES, 0))
        for (_kind, http_status), count in self.failed_attempts.items():
            found[recent.answer_class(http_status)] += count
        return found


PARTS = ("snapshot", "accounts", "unserved", "failed_attempts", "calls_ended", "webhooks", "durations", "days")


def read() -> Report:
    """Return a report whose parts are all read. Costs the same however many rows there are."""
    report = Report()
    for part in PARTS:
        getattr(report, part)
    return report


def total(counts: Mapping[str, int]) -> int:
    """Return the sum of counts that each stop at `MAX_COUNT` + 1; the sum stops there too."""
    return min(sum(counts.values()), snapshot.MAX_COUNT + 1)


def document(report: Report, crossed: Sequence[Document]) -> Document:
    """Return the report in the types of JSON: durations in seconds, times in ISO 8601 and UTC, null for never."""
    now = report.snapshot.read_at
    return {
        "read_at": _iso(now),
        "counted_up_to": snapshot.MAX_COUNT,
        "crossed": list(crossed),
        **_snapshot(report.snapshot),
        "accounts": [_account(account, now) for account in report.accounts],
        "unserved": [asdict(one) for one in report.unserved],
        "last_hour": {"failed_attempts": dict(report.failures)},
        "last_day": _last_day(report),
        "last_week": _last_week(report),
    }


def by_status(deliveries: Mapping[str, int]) -> Mapping[str, int]:
    """Return the counts by status, with `NOT_BOOKED` for the empty one."""
    return {status or snapshot.NOT_BOOKED: count for status, count in deliveries.items()}


def _snapshot(found: Snapshot) -> Document:
    return {
        "deliveries": by_status(found.deliveries),
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


def _account(account: AccountState, now: datetime) -> Document:
    return {
        "account": account.account,
        "environment": account.environment,
        "gate_closed": account.is_paused,
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
        "days": [{"date": day.date.isoformat(), **day.parcels} for day in report.days],
        "delivered": report.durations.deliveries,
        "median_seconds": _seconds(report.durations.median),
        "p90_seconds": _seconds(report.durations.p90),
    }


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()
