"""Report statistics, and whether a limit is crossed: `manage.py kaspi_report`, for staff, cron and probes."""

import json
import math
import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kaspi_delivery_django.management.argtypes import whole_number
from kaspi_delivery_django.management.exits import NOT_READ, exit_codes
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.errors import one_line
from kaspi_delivery_django.stats import days, metrics, report, snapshot
from kaspi_delivery_django.stats.metrics import METRICS, Crossing, Metric
from kaspi_delivery_django.stats.report import Report, by_status, total
from kaspi_delivery_django.stats.snapshot import OTHER, Snapshot

CROSSED = 1
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
WORDS = {"d": "d", "h": "h", "m": "min", "s": "s"}
DURATION = re.compile(r"([0-9]{1,8})([smhd])")
MAX_SECONDS = timedelta(days=365)
Rows = Mapping[str, str]


class Command(BaseCommand):
    """Reads a bounded number of rows, and writes none.

    Exit codes: 0 when no limit is crossed, 1 when one is, 2 for wrong options or settings, 3 when the
    statistics cannot be read. No limit is set unless it is given.
    """

    help = "Print statistics of deliveries, calls, webhooks and workers; exit with 1 when a limit is crossed."
    requires_system_checks = []  # their exit code is 1, which would mean that a limit is crossed

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
        for name, metric in METRICS.items():
            option = f"--max-{name.replace('_', '-')}"
            parser.add_argument(option, help=f"limit of: {metric.help}", **_argument(metric))

    def handle(self, *args: Any, **options: Any) -> None:
        found = _read()
        chosen = {name: options[f"max_{name}"] for name in METRICS}
        crossings = metrics.crossed(found, {name: limit for name, limit in chosen.items() if limit is not None})
        if options["json"]:
            document = report.document(found, [one.document() for one in crossings])
            self.stdout.write(json.dumps(document, indent=2))
        else:
            self.stdout.write("\n".join(lines(found)))
        for crossing in crossings:
            self.stderr.write(_sentence(crossing))
        if crossings:
            raise SystemExit(CROSSED)


def seconds(text: str) -> int:
    """Read a duration, `90s`, `15m`, `3h` or `2d`. Raises `ArgumentTypeError` with the format."""
    found = DURATION.fullmatch(text)
    length = int(found[1]) * SECONDS[found[2]] if found else 0
    if not 0 < length <= MAX_SECONDS.total_seconds():
        raise ArgumentTypeError(
            f"must be a whole number and its unit, s, m, h or d, as in 15m, and at most 365d, not {text!r}"
        )
    return length


def _argument(metric: Metric) -> dict[str, Any]:
    if metric.max_limit is None:
        return {"type": seconds, "metavar": "15m"}
    return {"type": partial(whole_number, least=0, most=metric.max_limit), "metavar": "N"}


def _read() -> Report:
    """Read the report; no error may end with the exit code of a crossed limit."""
    try:
        with exit_codes():
            return report.read()
    except CommandError:
        raise
    except Exception as err:  # its exit code must not be that of a crossed limit
        raise CommandError(f"The statistics cannot be read: {errors.describe(err)}", returncode=NOT_READ) from err


def _sentence(crossing: Crossing) -> str:
    show = format_duration if METRICS[crossing.figure].max_limit is None else count
    value = "never" if math.isinf(crossing.value) else show(int(crossing.value))
    return f"crossed: {crossing.figure} is {value}, the limit is {show(int(crossing.limit))}"


def format_duration(length_s: float) -> str:
    """Return a duration in its two greatest parts: `2 d 3 h`, `15 min`, `0 s`."""
    rest, parts = int(length_s), list[str]()
    for unit, word in WORDS.items():
        count, rest = divmod(rest, SECONDS[unit])
        if count:
            parts.append(f"{count} {word}")
    return " ".join(parts[:2]) or "0 s"


def lines(report: Report) -> Iterator[str]:
    """Return the table line by line, without zeros that have no meaning."""
    yield f"Kaspi Delivery, {_moment(report.snapshot.read_at)}"
    for title, rows in _sections(report).items():
        if rows:
            yield from ("", title)
        yield from (one_line(f"  {label:<32}{value:>12}") for label, value in rows.items())


def count(number: int) -> str:
    """Return a count with separators, "10,000+" for more than was counted."""
    return f"{snapshot.MAX_COUNT:,}+" if number > snapshot.MAX_COUNT else f"{number:,}"


def _sections(report: Report) -> Mapping[str, Rows]:
    now, ended = report.snapshot.read_at, sorted(report.calls_ended.items())
    return {
        "On their way": _on_the_way(report.snapshot),
        "Needs attention": _attention(report.snapshot),
        "Calls": {
            **_counts(report.snapshot.calls),
            "oldest due waits": format_duration(_s(report.snapshot.oldest_due_age)),
        },
        "Tries that failed, last hour": _counts(report.failures),
        "Calls that ended, last day": _counts({f"{kind} {state}": n for (kind, state), n in ended}),
        "Webhooks": _webhooks(report),
        "Deliveries, last seven days": _week(report),
        "Saved for what the settings do not have": {
            f"{one.account} ({one.environment})": count(one.deliveries) for one in report.unserved
        },
        "Accounts": dict(row for account in report.accounts for row in _account(account, now)),
    }


def _on_the_way(current: Snapshot) -> Rows:
    counted = dict(by_status(current.deliveries))
    other = counted.pop(OTHER)
    return {**_counts(counted), "in an unknown status": count(other), "overdue": count(current.overdue)}


def _attention(current: Snapshot) -> Rows:
    return {
        "deliveries": count(total(current.attention)),
        **_indented(current.attention),
        "dead letters": count(total(current.dead_letters)),
        **_indented(current.dead_letters),
        "refused bulk actions": count(current.actions_refused),
        "pending bulk actions": count(current.actions_waiting),
    }


def _webhooks(report: Report) -> Rows:
    silence = report.snapshot.silence
    return {
        "last one": "never" if silence is None else f"{format_duration(_s(silence))} ago",
        "events, last day": count(report.webhooks.events),
        "  sent more than once": count(report.webhooks.repeated),
        "  most attempts of one": count(report.webhooks.most_attempts),
    }


def _week(report: Report) -> Rows:
    took = {"median time to the door": report.durations.median, "90 % took at most": report.durations.p90}
    return {
        **{kind: _summed([day.parcels[kind] for day in report.days]) for kind in days.KINDS},
        **{label: format_duration(_s(length)) for label, length in took.items() if length is not None},
    }


def _summed(counts: Sequence[int]) -> str:
    """Return the sum; a plus sign marks one that has a count which stopped at its bound."""
    capped = [min(number, snapshot.MAX_COUNT) for number in counts]
    return f"{sum(capped):,}{'+' if capped != [*counts] else ''}"


def _account(account: AccountState, now: datetime) -> Iterator[tuple[str, str]]:
    until = account.closed_until
    yield f"{account} breaker", f"open until {_moment(until)}: {account.closed_reason}" if until else "closed"
    if announced := account.announced(now):
        yield f"{account} Kaspi announces", announced
    age = account.worker_age(now)
    seen = "never seen" if age is None else f"seen {format_duration(_s(age))} ago"
    yield f"{account} worker", f"{seen}, fails at {account.worker_trouble}" if account.worker_trouble else seen
    if account.held_at:
        by = f" by {account.held_by}" if account.held_by else ""
        yield f"{account} sending", f"held since {_moment(account.held_at)}{by}"


def _counts(counts: Mapping[str, int]) -> Rows:
    return {label.replace("_", " "): count(number) for label, number in counts.items()}


def _indented(counts: Mapping[str, int]) -> Rows:
    return {f"  {label}": count(number) for label, number in counts.items() if number}


def _s(length: timedelta) -> float:
    return length.total_seconds()


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
