"""Send one call to Kaspi: claim, HTTP outside any transaction, record the outcome."""

import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice, zip_longest
from typing import TypeVar

from django.db import DatabaseError, IntegrityError
from django.db.models import Exists, F, OuterRef, QuerySet

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import ForeignDelivery, KaspiError, OutcomeUnknown, RemoteDelivery, protocol
from kaspi_delivery_django.models import ApiCall, FailedAttempt
from kaspi_delivery_django.models.calls import MAX_FAILURES
from kaspi_delivery_django.services import clock, errors
from kaspi_delivery_django.services.db import (
    db_alias,
    defer_or_raise,
    is_data_error,
    is_unavailable,
    run_in_transaction,
)
from kaspi_delivery_django.services.deliveries import calls
from kaspi_delivery_django.services.outbox import circuit_breaker, claims, clients, results
from kaspi_delivery_django.services.outbox.claims import Claim
from kaspi_delivery_django.signals import call_attempted
from kaspi_delivery_django.statuses import is_cancellable

logger = logging.getLogger(__name__)
Kind = ApiCall.Kind
INLINE_TOTAL_S = 5.0
Send = Callable[[protocol.Request], RemoteDelivery]


def send(call_pk: int, *, total_s: float | None = None) -> bool:
    """Try one call once, if it is due and may go. Returns whether a request was made.

    Kaspi's errors are recorded, not raised. `total_s` bounds the HTTP exchange, in seconds.
    """
    using = db_alias()
    claim = claims.claim(call_pk, using=using)
    if claim is None:
        return False
    began = time.monotonic()
    outcome = transmit(claim, total_s)
    took_s = time.monotonic() - began
    record(claim, outcome, using=using)
    send_call_attempted(claim, outcome, took_s)
    return True


def transmit(claim: Claim, total_s: float | None = None) -> RemoteDelivery | KaspiError:
    """Send a claimed call, and return what came of it. It asks no database, and may run in any thread."""
    client = clients.client_for(claim.account)
    send_now = partial(client.send, total_s=total_s)
    try:
        if claim.call.kind == Kind.CANCEL and claim.was_unknown:
            return _cancel_again(claim, send_now)
        if claim.call.kind == Kind.LINK:
            return _look_up(claim, send_now)
        return send_now(_request(claim))
    except KaspiError as err:
        call = claim.call
        logger.warning("call failed: call=%s kind=%s request_id=%s %s", call.pk, call.kind, err.request_id or "-", err)
        return err


def record(claim: Claim, outcome: RemoteDelivery | KaspiError, *, using: str) -> None:
    """Write down what became of a claimed call; what cannot be written is said in the log, with Kaspi's id."""
    try:
        _record_storable(claim, outcome, using=using)
    except Exception as err:
        log_unrecorded(claim, outcome)
        if not is_data_error(err):
            raise
        contain(err, claim.call.pk, token=claim.call.claim_token)


def _record_storable(claim: Claim, outcome: RemoteDelivery | KaspiError, *, using: str) -> None:
    """Record the outcome; text that the database's character set has no letters for is replaced, never the answer."""
    jitter = random.random()  # noqa: S311  # no secret
    for reduced in (protocol.without_astral, protocol.in_ascii):
        try:
            _record_once(claim, outcome, jitter, using=using)
        except DatabaseError as err:
            if not is_data_error(err):
                raise
            logger.warning("text replaced: call=%s error=%s", claim.call.pk, errors.describe(err))
            outcome = results.with_text_replaced(outcome, reduced)
        else:
            return
    _record_once(claim, outcome, jitter, using=using)


def _record_once(claim: Claim, outcome: RemoteDelivery | KaspiError, jitter: float, *, using: str) -> None:
    """Record the outcome in a transaction; by all of the rules when it is no plain booking after all."""
    record = partial(results.record, claim, outcome, jitter, using=using)
    try:
        run_in_transaction(record, using=using)
    except IntegrityError as err:
        logger.warning("no plain booking: call=%s error=%s", claim.call.pk, errors.describe(err))
        run_in_transaction(partial(record, by_all_rules=True), using=using)


def log_unrecorded(claim: Claim, outcome: RemoteDelivery | KaspiError) -> None:
    """Leave Kaspi's id of what cannot be written down in the log: nothing else knows it."""
    booked = outcome.delivery_id if isinstance(outcome, RemoteDelivery) else ""
    logger.error("answer not recorded: call=%s delivery_id=%s", claim.call.pk, booked)


def send_call_attempted(claim: Claim, outcome: RemoteDelivery | KaspiError, took_s: float) -> None:
    """Tell whoever counts requests that one was made."""
    error = outcome if isinstance(outcome, KaspiError) else None
    is_replay = isinstance(outcome, RemoteDelivery) and outcome.replayed
    call_attempted.send_robust(ApiCall, call=claim.call, error=error, seconds=took_s, replayed=is_replay)


def send_inline(call_pk: int) -> None:
    """Try a call at once, in a customer's request: with a short deadline, and only once."""
    send(call_pk, total_s=INLINE_TOTAL_S)


def due_calls(*, limit: int, not_failed_since: datetime | None = None) -> Sequence[int]:
    """Return the primary keys of calls to try now, in random order so that workers part ways.

    Each account has its share of them, so that what piles up for one keeps no other waiting. A call that failed at
    `not_failed_since` or later is left out.
    """
    using = db_alias()
    now = clock.database_now(using)
    rows = ApiCall.objects.using(using).due(now)
    if not_failed_since is not None:
        failed = FailedAttempt.objects.filter(call=OuterRef("pk"), at__gte=not_failed_since)
        rows = rows.exclude(Exists(failed))
    for state in circuit_breaker.blocked_accounts(now, using=using):
        if state.held_at:  # which holds every account
            return []
        closed = {"delivery__account": state.account, "delivery__environment": state.environment}
        rows = rows.exclude(**closed)
    sendable = _with_key(rows)
    found = _first(sendable, limit)
    if len(found) == limit and len(conf.current().accounts) > 1:  # some are left out: not always the same account's
        found = _round_robin(sendable, limit)
    return random.sample(found, len(found))


def release_expired() -> int:
    """Mark calls whose sender died as of unknown outcome. Returns how many there were."""
    using = db_alias()
    now = clock.database_now(using)
    expired = ApiCall.objects.using(using).due(now).filter(state=ApiCall.State.SENDING)
    return calls.end_lease(expired.order_by(), ApiCall.State.UNKNOWN, now=now, next_attempt_at=F("next_attempt_at"))


def _with_key(rows: QuerySet[ApiCall]) -> QuerySet[ApiCall]:
    """Leave out the calls of accounts that have no key, and say so in the log."""
    keyless = [account.alias for account in conf.current().accounts.values() if not account.api_key]
    if not keyless:
        return rows
    waiting = rows.filter(delivery__account__in=keyless).order_by().values_list("delivery__account", flat=True)
    for alias in waiting.distinct():
        claims.log_missing_key(alias)
    return rows.exclude(delivery__account__in=keyless)


def _first(rows: QuerySet[ApiCall], limit: int) -> list[int]:
    return list(rows.values_list("pk", flat=True)[:limit])


def _round_robin(rows: QuerySet[ApiCall], limit: int) -> list[int]:
    """Take one call of each account, and again; the last turn is of accounts that the settings have no more."""
    accounts = conf.current().accounts
    own = (_first(rows.filter(delivery__account=alias), limit) for alias in accounts)
    nobodys = _first(rows.exclude(delivery__account__in=accounts), limit)
    turns = zip_longest(*own, nobodys)
    return list(islice((pk for turn in turns for pk in turn if pk is not None), limit))


def _request(claim: Claim) -> protocol.Request:
    call, delivery = claim.call, claim.delivery
    external_id = delivery.external_order_id or ""
    if call.kind == Kind.CREATE:
        return protocol.create_from_text(call.payload, call.idempotency_key, external_id)
    delivery_id = delivery.delivery_id or ""
    if call.kind == Kind.CANCEL:
        return protocol.cancel_from_text(delivery_id, call.payload, call.idempotency_key)
    return protocol.get(delivery_id, include_history=True, external_order_id=external_id)


def _look_up(claim: Claim, send_now: Send) -> RemoteDelivery:
    """Ask for the id that a person named; only an answer that names our order will do."""
    external_id = claim.delivery.external_order_id or ""
    found = send_now(protocol.get(claim.call.payload, include_history=True, external_order_id=external_id))
    if found.external_order_id != external_id:
        raise ForeignDelivery("the answer names no order")
    return found


def _cancel_again(claim: Claim, send_now: Send) -> RemoteDelivery:
    """Ask first whether the cancel has worked; then at most one more POST with the same bytes."""
    found = send_now(protocol.get(claim.delivery.delivery_id or ""))
    if conf.is_final(found.status) or not is_cancellable(found.status):
        return found
    if claim.call.strikes >= MAX_FAILURES - 1:
        raise OutcomeUnknown("still not cancelled after the second request")
    return send_now(_request(claim))


Result = TypeVar("Result")
_DRIVER_ERRORS = (OverflowError, UnicodeError)  # raised before the database is asked: too large for SQLite, no UTF-8
NOT_STORED = "the database cannot store a value of this row"


def run_contained(work: Callable[[], Result], call_pk: int) -> Result | None:
    """Do something with one call; raise only when the database is unavailable."""
    try:
        return work()
    except Exception as err:  # noqa: BLE001  # sorted by what it means
        contain(err, call_pk)
    return None


def contain(err: Exception, call_pk: int, *, token: str = "") -> None:
    """Log what one call met; raise when the database is unavailable.

    A call whose data the database refuses is set aside for staff: it would be refused in every round. `token` is that
    of the claim that the caller holds, if it holds one.
    """
    if not (is_data_error(err) or isinstance(err, _DRIVER_ERRORS)):
        _log_error(err, call_pk)
        return
    log_broken(call_pk, err)
    error = f"{NOT_STORED}: {errors.describe(err)}"
    try:
        claims.flag_data_error(call_pk, error, token=token, using=db_alias())
    except Exception as second:  # noqa: BLE001  # sorted below
        _log_error(second, call_pk)


def log_broken(call_pk: int, err: Exception) -> None:
    """Leave in the log that our code, or the shop's, broke on a call."""
    logger.error("call broke: call=%r error=%s", call_pk, errors.describe(err))


def _log_error(err: Exception, call_pk: int) -> None:
    if is_unavailable(err):
        defer_or_raise(err, f"call={call_pk}")
    else:
        log_broken(call_pk, err)
