"""Probes of Kaspi: whether it is reached, accepts the key, and agrees about the time."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import protocol
from kaspi_delivery_django.client.exceptions import KaspiError, NotReached
from kaspi_delivery_django.client.retries import read_retry_after
from kaspi_delivery_django.doctor.results import Result, failed, manual, passed
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.outbox import clients
from kaspi_delivery_django.stats.accounts import AccountStats

TOLERANCE = timedelta(seconds=30)
SET_THE_CLOCK = "Let NTP set the clock of this server (chrony, systemd-timesyncd): check with `timedatectl`."
SET_THE_DATABASE = "Let NTP set the clocks of this server and of the database's; leases and deadlines go by the latter."


def read_date(header: str | None) -> datetime | None:
    """Return the time in a Date header, aware UTC; None for none, or for garbage."""
    try:
        date = parsedate_to_datetime(header or "")
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)


def compare_with_kaspi(ours: datetime, theirs: datetime | None, *, account: str) -> Result:
    """Compare ours with Kaspi's. A webhook whose stamp is 300 s off is refused, so this is much less."""
    if theirs is None:
        says = "Kaspi's response has no readable Date."
        return manual("clock", says, "Confirm with `timedatectl` that NTP sets this server's clock.", account=account)
    if abs(ours - theirs) <= TOLERANCE:
        return passed("clock", f"Within {TOLERANCE.seconds} s of Kaspi's.", account=account)
    says = f"{_difference(ours, theirs)} Kaspi's: webhooks that seem 300 s old, or early, are refused."
    return failed("clock", says, SET_THE_CLOCK, account=account)


def compare_with_database(ours: datetime, theirs: datetime) -> Result:
    """Compare ours with the database's."""
    if abs(ours - theirs) <= TOLERANCE:
        return passed("database clock", f"Within {TOLERANCE.seconds} s of ours.")
    return failed("database clock", f"{_difference(ours, theirs)} the database's.", SET_THE_DATABASE)


def _difference(ours: datetime, theirs: datetime) -> str:
    direction = "ahead of" if ours > theirs else "behind"
    return f"Our clock is {round(abs(ours - theirs).total_seconds())} s {direction}"


NO_SUCH_DELIVERY = "dlv_kaspi_doctor_none"
TIMEOUT_S = 15.0
SLOW_S = 5.0
START_SANDBOX = "Start the bundled sandbox, and leave it running: python manage.py kaspi_sandbox"
LOOK_AT_ADDRESS = "Leave BASE_URL out of KASPI_DELIVERY, so that the address is Kaspi's own; see that no proxy answers."
RATE_LIMITED = "status=429"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What came of the GET, how long it took, and our time when it was answered."""

    outcome: protocol.Answer | KaspiError
    seconds: float
    at: datetime


def check_api(account: conf.Account, state: AccountStats) -> Sequence[Result]:
    """Send one GET and judge the response; send none without a key, or during a pause that Kaspi asked for."""
    if not account.api_key:
        return [_no_key(account)]
    if wait := asked_to_wait(account, state, clock.now()):
        return [wait]
    return list(judge_api(account, _probe(account)))


def asked_to_wait(account: conf.Account, state: AccountStats, now: datetime) -> Result | None:
    """Return a failure while the pause of a 429 lasts."""
    until = state.closed_until
    if until is None or until <= now or RATE_LIMITED not in state.closed_reason:
        return None
    seconds = round((until - now).total_seconds())
    says = f"Kaspi asked for a pause (429) that lasts {seconds} s more; nothing was asked."
    return failed("api", says, _after(seconds), account=account.alias)


def judge_api(account: conf.Account, probe: Probe) -> Iterator[Result]:
    """Judge whether Kaspi was reached, accepts the key, and agrees about the time. Pure."""
    answer = probe.outcome
    if isinstance(answer, KaspiError):
        yield _not_answered(account, answer)
        return
    yield _reached(account, answer, probe)
    key = _key(account, answer.status)
    if key:
        yield key
    theirs = read_date(answer.headers.get("date"))
    yield compare_with_kaspi(probe.at, theirs, account=account.alias)


def _probe(account: conf.Account) -> Probe:
    client, request = clients.client_for(account), protocol.get(NO_SUCH_DELIVERY)
    started = time.monotonic()
    outcome: protocol.Answer | KaspiError
    try:
        outcome = client.exchange(request, total_s=TIMEOUT_S)
    except KaspiError as err:
        outcome = err
    return Probe(outcome=outcome, seconds=time.monotonic() - started, at=clock.now())


def _no_key(account: conf.Account) -> Result:
    variable = conf.variable_of(account.alias, "API_KEY")
    todo = f"Set {variable} to the {account.environment} key of Kaspi's partner console, and restart."
    return failed("key", "API_KEY is not set: nothing was asked.", todo, account=account.alias)


def _not_answered(account: conf.Account, err: KaspiError) -> Result:
    if isinstance(err, NotReached):
        says = f"No connection to {account.base_url}."
        todo = "Allow outbound HTTPS from this server to that host: firewall, DNS, certificates. No proxy is used."
    else:
        says = f"{account.base_url} gave no whole answer within {TIMEOUT_S:.0f} s, or hung up."
        todo = "Run it again; if it stays, look at the network in between, then ask Kaspi."
    is_local = account.environment == "local"
    return failed("api", says, START_SANDBOX if is_local else todo, account=account.alias)


def _reached(account: conf.Account, answer: protocol.Answer, probe: Probe) -> Result:
    name, alias = "api", account.alias
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = round(read_retry_after(answer.headers.get("retry-after"), probe.at) or 60)
        return failed(name, "Kaspi answered 429: too many requests with this key.", _after(wait), account=alias)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        todo = "That is Kaspi's side: run it again later, and ask Kaspi if it stays. Orders wait meanwhile."
        return failed(name, f"Kaspi answered {answer.status}.", todo, account=alias)
    if answer.status not in _OF_A_KEY:
        says = f"{account.base_url} answered {answer.status}, which Kaspi does not."
        return failed(name, says, LOOK_AT_ADDRESS, account=alias)
    if probe.seconds > SLOW_S:
        says = f"Kaspi took {probe.seconds:.1f} s to answer a GET."
        todo = f"Look at the network in between: a booking that takes {TIMEOUT_S:.0f} s has an unknown outcome."
        return failed(name, says, todo, account=alias)
    return passed(name, f"{account.base_url} answered in {probe.seconds:.2f} s.", account=alias)


_OF_A_KEY = {HTTPStatus.NOT_FOUND, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def _key(account: conf.Account, status: int) -> Result | None:
    """Judge the key by the response; None when the response does not tell."""
    alias, variable = account.alias, conf.variable_of(account.alias, "API_KEY")
    if status == HTTPStatus.UNAUTHORIZED:
        return failed("key", "Kaspi refused the key (401).", _other_key(account, variable), account=alias)
    if status == HTTPStatus.FORBIDDEN:
        todo = f"Have it enabled in Kaspi's partner console, or put another into {variable} and restart."
        return failed("key", "The key is disabled (403).", todo, account=alias)
    if status != HTTPStatus.NOT_FOUND:
        return None
    return passed("key", "Kaspi took the key, and knows no delivery that cannot exist (404).", account=alias)


def _other_key(account: conf.Account, variable: str) -> str:
    if account.environment == "local":
        return f"Leave {variable} out: the bundled sandbox's own key is the default. Then restart web and workers."
    return (
        f"Set {variable} to the {account.environment} key of Kaspi's partner console: each environment has its own."
        " Then restart web and workers."
    )


def _after(seconds: int) -> str:
    return f"Run it again in {seconds} s; more requests now would make the pause longer."
