"""Whether Kaspi is reached, and takes the key: one GET of a delivery that cannot exist.

It goes past the account's gate and leaves it as it is, so that a key that was just mended can be tried.
Only the pause that a 429 asked for is kept.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import wire
from kaspi_delivery_django.client.exceptions import KaspiError, NotReached
from kaspi_delivery_django.client.retries import read_retry_after
from kaspi_delivery_django.doctor import clocks
from kaspi_delivery_django.doctor.findings import Finding, failed, well
from kaspi_delivery_django.figures.accounts import AccountFigures
from kaspi_delivery_django.services import clock, gateway

NO_SUCH_DELIVERY = "dlv_kaspi_doctor_none"
PATIENCE_S = 15.0
SLOW_S = 5.0
START_SANDBOX = "Start the bundled sandbox, and leave it running: python manage.py kaspi_sandbox"
LOOK_AT_ADDRESS = "Leave BASE_URL out of KASPI_DELIVERY, so that the address is Kaspi's own; see that no proxy answers."
RATE_LIMITED = "status=429"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What came of the GET, how long it took, and our time when it was answered."""

    outcome: wire.Answer | KaspiError
    seconds: float
    at: datetime


def examine(account: conf.Account, state: AccountFigures) -> Sequence[Finding]:
    """Ask Kaspi once, and judge the answer; nothing is asked without a key, or while Kaspi wants us to wait."""
    if not account.api_key:
        return [_no_key(account)]
    if wait := asked_to_wait(account, state, clock.now()):
        return [wait]
    return list(judge(account, _probe(account)))


def asked_to_wait(account: conf.Account, state: AccountFigures, now: datetime) -> Finding | None:
    """Return why nothing may be asked now: a 429 closed the gate, and its time is not over."""
    until = state.closed_until
    if until is None or until <= now or RATE_LIMITED not in state.closed_reason:
        return None
    seconds = round((until - now).total_seconds())
    says = f"Kaspi asked for a pause (429) that lasts {seconds} s more; nothing was asked."
    return failed("api", says, _after(seconds), account=account.alias)


def judge(account: conf.Account, probe: Probe) -> Iterator[Finding]:
    """Say whether Kaspi was reached, whether it takes the key, and how the clocks stand. Pure."""
    answer = probe.outcome
    if isinstance(answer, KaspiError):
        yield _not_answered(account, answer)
        return
    yield _reached(account, answer, probe)
    key = _key(account, answer.status)
    if key:
        yield key
    theirs = clocks.read_date(answer.headers.get("date"))
    yield clocks.against_kaspi(probe.at, theirs, account=account.alias)


def _probe(account: conf.Account) -> Probe:
    client, request = gateway.client_for(account), wire.get(NO_SUCH_DELIVERY)
    started = time.monotonic()
    outcome: wire.Answer | KaspiError
    try:
        outcome = client.exchange(request, total_s=PATIENCE_S)
    except KaspiError as err:
        outcome = err
    return Probe(outcome=outcome, seconds=time.monotonic() - started, at=clock.now())


def _no_key(account: conf.Account) -> Finding:
    variable = conf.variable_of(account.alias, "API_KEY")
    todo = f"Set {variable} to the {account.environment} key of Kaspi's partner console, and restart."
    return failed("key", "API_KEY is not set: nothing was asked.", todo, account=account.alias)


def _not_answered(account: conf.Account, err: KaspiError) -> Finding:
    if isinstance(err, NotReached):
        says = f"No connection to {account.base_url}."
        todo = "Allow outbound HTTPS from this server to that host: firewall, DNS, certificates. No proxy is used."
    else:
        says = f"{account.base_url} gave no whole answer within {PATIENCE_S:.0f} s, or hung up."
        todo = "Run it again; if it stays, look at the network in between, then ask Kaspi."
    is_local = account.environment == "local"
    return failed("api", says, START_SANDBOX if is_local else todo, account=account.alias)


def _reached(account: conf.Account, answer: wire.Answer, probe: Probe) -> Finding:
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
        todo = f"Look at the network in between: a booking that takes {PATIENCE_S:.0f} s has an unknown outcome."
        return failed(name, says, todo, account=alias)
    return well(name, f"{account.base_url} answered in {probe.seconds:.2f} s.", account=alias)


_OF_A_KEY = {HTTPStatus.NOT_FOUND, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def _key(account: conf.Account, status: int) -> Finding | None:
    """Judge the key by the answer; None when the answer says nothing about it."""
    alias, environment = account.alias, account.environment
    variable = conf.variable_of(alias, "API_KEY")
    if status == HTTPStatus.UNAUTHORIZED:
        todo = f"Set {variable} to the {environment} key of Kaspi's partner console: each environment has its own."
        return failed("key", "Kaspi refused the key (401).", f"{todo} Then restart web and workers.", account=alias)
    if status == HTTPStatus.FORBIDDEN:
        todo = f"Have it enabled in Kaspi's partner console, or put another into {variable} and restart."
        return failed("key", "The key is disabled (403).", todo, account=alias)
    if status != HTTPStatus.NOT_FOUND:
        return None
    says = "Kaspi took the key, and knows no delivery that cannot exist (404)."
    return well("key", says, account=alias)


def _after(seconds: int) -> str:
    return f"Run it again in {seconds} s; more requests now would make the pause longer."
