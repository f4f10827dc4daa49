"""Checks without Kaspi: the settings, the database, the workers, and pending work."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.core import checks
from django.core.checks import CheckMessage
from django.db.migrations.executor import MigrationExecutor

from kaspi_delivery_django.client.protocol import API_VERSION
from kaspi_delivery_django.doctor.texts import Result, result
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import database_now, db_alias, db_connection
from kaspi_delivery_django.stats.metrics import HOUR_S, METRICS, MINUTE_S
from kaspi_delivery_django.stats.report import Report, total
from kaspi_delivery_django.stats.snapshot import Snapshot

APP_LABEL = "kaspi_delivery"
TO_CONFIRM = {
    f"{APP_LABEL}.W011",  # with the next: right in the sandbox, and wrong on the day of the first parcel
    f"{APP_LABEL}.W012",
    f"{APP_LABEL}.W033",  # it is Kaspi that decides how long a secret is
}
TOLERANCE = timedelta(seconds=30)


def project_checks() -> list[CheckMessage]:
    """Return the messages of the system checks, those for deployments included, without silenced ones."""
    found = checks.run_checks(include_deployment_checks=True)
    return [message for message in found if not message.is_silenced()]


def judge_checks(messages: list[CheckMessage]) -> Iterator[Result]:
    """Yield one result for each message of this app, and one for all others. Pure."""
    ours = [message for message in messages if str(message.id).startswith(f"{APP_LABEL}.")]
    if not ours:
        yield result("checks/none")
    for message in ours:
        case = "checks/to confirm" if message.id in TO_CONFIRM else "checks/wrong"
        text = f"{message.id}: {message.msg}" + (f" ({message.obj})" if isinstance(message.obj, str) else "")
        yield result(case, text=text, hint=message.hint or "See docs/checks.md.")
    if others := [message for message in messages if message not in ours]:
        errors = sum(message.is_serious() for message in others)
        yield result("checks/others", count=len(others), errors=errors)


def migrations() -> Result:
    """Return whether all migrations of this app are applied on its database."""
    executor = MigrationExecutor(db_connection())
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == APP_LABEL]
    missing = [migration.name for migration, _backwards in executor.migration_plan(targets)]
    if not missing:
        return result("migrations/applied")
    return result("migrations/missing", count=len(missing), first=missing[0], alias=db_alias())


def database_clock() -> Result:
    """Compare our clock with the database's."""
    return compare_clocks("database clock", clock.now(), database_now())


def compare_clocks(name: str, ours: datetime, theirs: datetime, *, account: str = "") -> Result:
    """Compare ours with another. A webhook whose stamp is 300 s off is refused, so what is tolerated is much less."""
    case = f"{name}/right" if abs(ours - theirs) <= TOLERANCE else f"{name}/wrong"
    direction = "ahead of" if ours > theirs else "behind"
    difference = f"{round(abs(ours - theirs).total_seconds())} s {direction}"
    return result(case, account=account, tolerance_s=TOLERANCE.seconds, difference=difference)


def judge_snapshot(report: Report) -> Iterator[Result]:
    """Judge the age of due calls, the silence of webhooks, and what needs attention of staff."""
    found, due_age = report.snapshot, METRICS["due_age"]
    if due_age.is_crossed(report):
        yield result("backlog/old", minutes=_minutes(found.oldest_due_age))
    else:
        yield result("backlog/none", minutes=due_age.limit // MINUTE_S)
    yield _silence(report)
    deliveries, events = total(found.attention), total(found.dead_letters)
    case = "people/pending" if deliveries or events else "people/nothing"
    yield result(case, deliveries=deliveries, events=events)


def judge_account(state: AccountState, found: Snapshot) -> Iterator[Result]:
    """Judge the worker, the circuit breaker and a hold of the account. Pure."""
    alias = state.account
    if state.held_at:
        yield result("hold/held", account=alias, since=state.held_at)
    yield _worker(state, found)
    if announced := state.announced(found.read_at):
        yield result("version/announced", account=alias, announced=announced, version=API_VERSION)
    yield result("gate/open" if state.is_paused else "gate/closed", account=alias, reason=state.closed_reason)


def _worker(state: AccountState, found: Snapshot) -> Result:
    alias, age = state.account, state.worker_age(found.read_at)
    if state.worker_trouble:
        return result("worker/failing", account=alias, trouble=state.worker_trouble)
    if age is None:
        return result("worker/never seen", account=alias)
    case = "worker/lost" if state.is_without_worker(found.read_at) else "worker/seen"
    return result(case, account=alias, minutes=_minutes(age))


def _silence(report: Report) -> Result:
    found, silence = report.snapshot, METRICS["silence"]
    if not found.is_expecting_webhooks:
        return result("silence/not expected")
    if not silence.is_crossed(report):
        return result("silence/none", hours=silence.limit // HOUR_S)
    since = "ever" if found.silence is None else f"for {_minutes(found.silence)} min"
    return result("silence/long", since=since)


def _minutes(length: timedelta) -> int:
    return length // timedelta(minutes=1)
