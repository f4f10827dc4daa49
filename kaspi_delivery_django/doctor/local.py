"""Checks without Kaspi: the settings, the database, the workers, and pending work."""

from collections.abc import Iterator
from datetime import timedelta

from django.core import checks
from django.core.checks import CheckMessage
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from kaspi_delivery_django.client.protocol import API_VERSION
from kaspi_delivery_django.doctor import probes
from kaspi_delivery_django.doctor.results import Result, failed, manual, passed
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.stats.accounts import AccountStats
from kaspi_delivery_django.stats.metrics import HOUR_S, METRICS, MINUTE_S
from kaspi_delivery_django.stats.report import Report, total
from kaspi_delivery_django.stats.snapshot import Snapshot

APP_LABEL = "kaspi_delivery"
OURS = f"{APP_LABEL}."
STAGES = {f"{OURS}W011", f"{OURS}W012"}  # right in the sandbox, and wrong on the day of the first parcel
ISSUED = {f"{OURS}W033"}  # it is Kaspi that decides how long a secret is
RELEASE = "When Kaspi's deliveries and yours agree: `python manage.py kaspi_worker --release`."
START_WORKER = "Keep `python manage.py kaspi_worker` running (systemd, a container), or Celery's beat with the sweep."


def project_checks() -> list[CheckMessage]:
    """Return the messages of the system checks, those for deployments included, without silenced ones."""
    found = checks.run_checks(include_deployment_checks=True)
    return [message for message in found if not message.is_silenced()]


def judge_checks(messages: list[CheckMessage]) -> Iterator[Result]:
    """Yield one result for each message of this app, and one for all others. Pure."""
    ours = [message for message in messages if str(message.id).startswith(OURS)]
    if not ours:
        yield passed("checks", "The system checks find nothing of this app.")
    for message in ours:
        make = manual if message.id in STAGES | ISSUED else failed
        says = f"{message.id}: {message.msg}" + (f" ({message.obj})" if isinstance(message.obj, str) else "")
        yield make("checks", says, message.hint or "See docs/checks.md.")
    if others := [message for message in messages if message not in ours]:
        errors = sum(message.is_serious() for message in others)
        says = f"Checks of Django and of other apps: {len(others)} messages, {errors} of them errors."
        yield manual("checks", says, "Read them: python manage.py check --deploy")


def migrations() -> Result:
    """Return whether all migrations of this app are applied on its database."""
    executor = MigrationExecutor(connections[db_alias()])
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == APP_LABEL]
    missing = [migration.name for migration, _backwards in executor.migration_plan(targets)]
    if not missing:
        return passed("migrations", "All are applied.")
    says = f"{len(missing)} not applied, from {missing[0]} on: nothing of the tables was read."
    return failed("migrations", says, f"python manage.py migrate --database {db_alias()}")


def database_clock() -> Result:
    """Compare our clock with the database's."""
    return probes.compare_with_database(clock.now(), clock.database_now(db_alias()))


def judge_snapshot(report: Report) -> Iterator[Result]:
    """Judge the age of due calls, the silence of webhooks, and what needs attention of staff."""
    found, due_age = report.snapshot, METRICS["due_age"]
    if due_age.is_crossed(report):
        says = f"The oldest call that is due has waited {_minutes(found.oldest_due_age)} min."
        yield failed("backlog", says, "Look at the lines 'worker' and 'gate'; then start more workers.")
    else:
        yield passed("backlog", f"No due call has waited {due_age.limit // MINUTE_S:.0f} min.")
    yield _silence(report)
    yield _attention(found)


def judge_account(state: AccountStats, found: Snapshot) -> Iterator[Result]:
    """Judge the worker, the circuit breaker and a hold of the account. Pure."""
    alias, age = state.alias, state.worker_age(found.read_at)
    if state.held_at:
        yield failed("hold", f"Sending is held since {state.held_at:%Y-%m-%d %H:%M} UTC.", RELEASE, account=alias)
    if state.worker_trouble:
        todo = "Read the worker's log at ERROR, correct what it names, and restart the worker."
        yield failed("worker", f"It fails at {state.worker_trouble}.", todo, account=alias)
    elif not state.is_without_worker(found.read_at):
        yield passed("worker", "One was seen in the last 5 minutes.", account=alias)
    else:
        says = "None was ever seen." if age is None else f"None was seen for {_minutes(age)} min."
        yield failed("worker", says, START_WORKER, account=alias)
    if announced := state.announced(found.read_at):
        says = f"Kaspi announces: {announced}. Version {API_VERSION} of its API is supported."
        yield manual("version", says, "Upgrade kaspi-delivery-django before that day.", account=alias)
    if not state.is_closed:
        yield passed("gate", "The circuit breaker is closed.", account=alias)
        return
    todo = "Fix the cause in the line 'key' or 'api', restart web and workers: the worker's next trial call closes it."
    yield failed("gate", f"The circuit breaker is open: {state.closed_reason}.", todo, account=alias)


def _silence(report: Report) -> Result:
    found, silence = report.snapshot, METRICS["silence"]
    if not found.is_expecting_webhooks:
        return passed("silence", "No delivery is under way, so Kaspi has nothing to report.")
    if not silence.is_crossed(report):
        return passed("silence", f"A webhook came within {silence.limit // HOUR_S:.0f} h.")
    since = "ever" if found.silence is None else f"for {_minutes(found.silence)} min"
    todo = "Run this with --webhook-url; compare the address and the secret in Kaspi's partner console with yours."
    return failed("silence", f"Deliveries are under way, and no webhook came {since}.", todo)


def _attention(found: Snapshot) -> Result:
    waiting, letters = total(found.attention), total(found.dead_letters)
    if not waiting and not letters:
        return passed("people", "Nothing needs attention.")
    says = f"{waiting} deliveries and {letters} webhook events need attention."
    return manual("people", says, "Work through them in the admin: *Dashboard* links to both lists.")


def _minutes(length: timedelta) -> int:
    return length // timedelta(minutes=1)
