"""What the doctor looks at: settings, database and tables; Kaspi, the key, the clocks, and whether webhooks arrive."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

from django.core import checks
from django.core.checks import CheckMessage
from django.db.migrations.executor import MigrationExecutor
from django.urls import NoReverseMatch, reverse

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import exceptions, protocol
from kaspi_delivery_django.client.addresses import LOCAL_HOSTS
from kaspi_delivery_django.client.types import is_identifier
from kaspi_delivery_django.doctor.texts import Result, result
from kaspi_delivery_django.models import AccountState, WebhookEvent
from kaspi_delivery_django.services import clock, inbox
from kaspi_delivery_django.services.db import database_now, db_alias, db_connection
from kaspi_delivery_django.services.outbox import sender
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
NO_SUCH_DELIVERY = "dlv_kaspi_doctor_none"
TIMEOUT_S = 15.0
SLOW_S = 5.0
RATE_LIMITED = "status=429"
KEY_CASES: Mapping[int, str] = {404: "accepted", 401: "refused", 403: "disabled"}


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
        yield result("version/announced", account=alias, announced=announced, version=protocol.API_VERSION)
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


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What came of the GET, how long it took, and our time when it was answered."""

    outcome: protocol.Answer | exceptions.KaspiError
    seconds: float
    at: datetime


def check_api(account: conf.Account, state: AccountState) -> Sequence[Result]:
    """Send one GET and judge the response; send none without a key, or during a pause that Kaspi asked for."""
    if not account.api_key:
        return [_key(account, "missing")]
    now, until = clock.now(), state.closed_until
    if until and until > now and RATE_LIMITED in state.closed_reason:
        seconds = round((until - now).total_seconds())
        return [result("api/pause", account=account.alias, seconds=seconds)]
    return list(judge_api(account, _probe(account)))


def judge_api(account: conf.Account, probe: Probe) -> Iterator[Result]:
    """Judge whether Kaspi was reached, accepts the key, and agrees about the time. Pure."""
    answer = probe.outcome
    if isinstance(answer, exceptions.KaspiError):
        case = "no connection" if isinstance(answer, exceptions.NotReached) else "no answer"
        yield _api(account, _locally(account, case))
        return
    yield _reached(account, answer, probe)
    if answer.status in KEY_CASES:
        yield _key(account, KEY_CASES[answer.status])
    theirs = protocol.read_date(answer.headers.get("date"))
    if theirs is None:
        yield result("clock/unknown", account=account.alias)
    else:
        yield compare_clocks("clock", probe.at, theirs, account=account.alias)


def _probe(account: conf.Account) -> Probe:
    client, request = sender.client_for(account), protocol.get(NO_SUCH_DELIVERY)
    started = time.monotonic()
    outcome: protocol.Answer | exceptions.KaspiError
    try:
        outcome = client.exchange(request, total_s=TIMEOUT_S)
    except exceptions.KaspiError as err:
        outcome = err
    return Probe(outcome=outcome, seconds=time.monotonic() - started, at=clock.now())


def _reached(account: conf.Account, answer: protocol.Answer, probe: Probe) -> Result:
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = round(protocol.read_retry_after(answer.headers.get("retry-after"), probe.at) or 60)
        return result("api/rate limited", account=account.alias, seconds=seconds)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _api(account, "server error", status=answer.status)
    if answer.status not in KEY_CASES:
        return _api(account, "strange", status=answer.status)
    return _api(account, "slow" if probe.seconds > SLOW_S else "reached", seconds=probe.seconds)


def _api(account: conf.Account, case: str, **values: object) -> Result:
    return result(f"api/{case}", account=account.alias, base_url=account.base_url, timeout_s=TIMEOUT_S, **values)


def _key(account: conf.Account, case: str) -> Result:
    variable = conf.variable_of(account.alias, "API_KEY")
    case = _locally(account, case) if case == "refused" else case
    return result(f"key/{case}", account=account.alias, variable=variable, environment=account.environment)


def _locally(account: conf.Account, case: str) -> str:
    """Return the case of the bundled sandbox, which has a remedy of its own."""
    return f"{case} locally" if account.environment == "local" else case


EVENT_TYPE = "delivery.created"
POLL_S = 0.2
PLACEHOLDER = "{account}"


@dataclass(frozen=True, kw_only=True)
class Wait:
    """How long to wait for the event, and with what: the clock and the pause are the caller's."""

    seconds: float
    pause: Callable[[float], object] = time.sleep
    ticks: Callable[[], float] = time.monotonic


def address_of(url: str, account: conf.Account) -> str:
    """Return the URL that Kaspi shall send to. Raises `ValueError` unless it is one of http(s) with a host."""
    address = url.replace(PLACEHOLDER, account.alias)
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        raise ValueError("it must be a whole address such as https://shop.example/kaspi/webhook/")
    return parts.geturl()


def check_webhook(account: conf.Account, url: str, wait: Wait) -> Result:
    """Have Kaspi send a test event, and wait until any signed event of its id is in the inbox.

    The id is stored first: the event changes no delivery.
    """
    found = partial(result, account=account.alias)
    if not account.webhook_secrets:
        return found("webhook/no secret", variable=conf.variable_of(account.alias, "WEBHOOK_SECRETS"))
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOCAL_HOSTS:  # others could read it
        return found("webhook/plain http")
    try:
        event_id = sender.client_for(account).send_test_webhook(url, EVENT_TYPE).event_id
    except (exceptions.KaspiError, exceptions.UsageError) as err:
        seconds = round(getattr(err, "retry_after_s", None) or 60)
        return found(_case_of(account, err), error=err, seconds=seconds)
    if not is_identifier(event_id):
        return found("webhook/no event id")
    inbox.expect_test(account, event_id)
    arrived = _wait_for(event_id, account, wait)
    if arrived is not None and arrived.state in WebhookEvent.DEAD_LETTERS:
        inbox.end_test(arrived)
    return judge_webhook(account, arrived, url=url, waited_s=wait.seconds)


def judge_webhook(account: conf.Account, arrived: WebhookEvent | None, *, url: str, waited_s: float) -> Result:
    """Judge the row, or its absence. Pure."""
    found = partial(result, account=account.alias)
    path = _path_of(account.alias)
    if arrived is None:
        variable = conf.variable_of(account.alias, "WEBHOOK_SECRETS")
        return found("webhook/missing", url=url, waited_s=waited_s, variable=variable, path=path)
    if arrived.account != account.alias:
        return found("webhook/another account", arrived=arrived.account, path=path)
    if arrived.attempt > 1 or arrived.received_count > 1:
        return found("webhook/late", attempt=arrived.attempt)
    if arrived.error not in {"", WebhookEvent.Reason.TEST, WebhookEvent.Reason.NO_DELIVERY}:
        return found("webhook/unreadable", error=arrived.error, event_id=arrived.event_id)
    return found("webhook/arrived", url=url)


def _wait_for(event_id: str, account: conf.Account, wait: Wait) -> WebhookEvent | None:
    """Return the event once it is there; one of a strange account only when the time is over."""
    arrived = WebhookEvent.objects.filter(received_count__gt=0)
    rows = arrived.filter(event_id=event_id, environment=account.environment)
    own = rows.filter(account=account.alias)
    until = wait.ticks() + wait.seconds
    while (found := own.first()) is None and wait.ticks() < until:
        wait.pause(POLL_S)
    return found or rows.first()


def _case_of(account: conf.Account, err: exceptions.KaspiError | exceptions.UsageError) -> str:
    """Return the case of a test webhook that could not be requested."""
    if isinstance(err, exceptions.RateLimited):
        return "webhook/rate limited"
    if isinstance(err, exceptions.Refused | exceptions.UsageError):
        return "webhook/refused"
    if isinstance(err, exceptions.ConfigurationFault):
        return "webhook/wrong address"
    return "webhook/no sandbox" if account.environment == "local" else "webhook/not requested"


def _path_of(alias: str) -> str:
    name, own = ("webhook", {}) if alias == conf.DEFAULT_ACCOUNT else ("account-webhook", {"account": alias})
    try:
        path = reverse(f"kaspi_delivery:{name}", kwargs=own)
    except NoReverseMatch:  # not routed, which a check reports, or routed without our names
        path = "/".join(["webhook", *own.values()])
    return path.rstrip("/") + "/"
