"""Probes of Kaspi: whether it is reached, accepts the key, and agrees about the time."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import protocol
from kaspi_delivery_django.client.exceptions import KaspiError, NotReached
from kaspi_delivery_django.client.retries import read_retry_after
from kaspi_delivery_django.doctor.local import compare_clocks
from kaspi_delivery_django.doctor.texts import Result, result
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.outbox import clients
from kaspi_delivery_django.stats.accounts import AccountStats

NO_SUCH_DELIVERY = "dlv_kaspi_doctor_none"
TIMEOUT_S = 15.0
SLOW_S = 5.0
RATE_LIMITED = "status=429"
KEY_CASES: Mapping[int, str] = {404: "accepted", 401: "refused", 403: "disabled"}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What came of the GET, how long it took, and our time when it was answered."""

    outcome: protocol.Answer | KaspiError
    seconds: float
    at: datetime


def check_api(account: conf.Account, state: AccountStats) -> Sequence[Result]:
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
    if isinstance(answer, KaspiError):
        case = "no connection" if isinstance(answer, NotReached) else "no answer"
        yield _api(account, _locally(account, case))
        return
    yield _reached(account, answer, probe)
    if answer.status in KEY_CASES:
        yield _key(account, KEY_CASES[answer.status])
    theirs = read_date(answer.headers.get("date"))
    if theirs is None:
        yield result("clock/unknown", account=account.alias)
    else:
        yield compare_clocks("clock", probe.at, theirs, account=account.alias)


def read_date(header: str | None) -> datetime | None:
    """Return the time in a Date header, aware UTC; None for none, or for garbage."""
    try:
        date = parsedate_to_datetime(header or "")
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)


def _probe(account: conf.Account) -> Probe:
    client, request = clients.client_for(account), protocol.get(NO_SUCH_DELIVERY)
    started = time.monotonic()
    outcome: protocol.Answer | KaspiError
    try:
        outcome = client.exchange(request, total_s=TIMEOUT_S)
    except KaspiError as err:
        outcome = err
    return Probe(outcome=outcome, seconds=time.monotonic() - started, at=clock.now())


def _reached(account: conf.Account, answer: protocol.Answer, probe: Probe) -> Result:
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = round(read_retry_after(answer.headers.get("retry-after"), probe.at) or 60)
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
