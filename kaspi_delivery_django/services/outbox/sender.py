"""Send one call to Kaspi: claim, HTTP outside any transaction, record the outcome.

Each set of credentials has one client, which is kept for the life of the process.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, TypeVar

from django.db import DatabaseError, IntegrityError

from kaspi_delivery_django import client, conf
from kaspi_delivery_django.client import ForeignDelivery, KaspiError, OutcomeUnknown, RemoteDelivery, protocol
from kaspi_delivery_django.conf import Account
from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.models.calls import MAX_FAILURES
from kaspi_delivery_django.services import db, errors
from kaspi_delivery_django.services.outbox import claims, results
from kaspi_delivery_django.services.outbox.leases import Claim
from kaspi_delivery_django.signals import call_attempted
from kaspi_delivery_django.statuses import is_cancellable

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter
logger = logging.getLogger(__name__)
Kind = ApiCall.Kind
INLINE_TOTAL_S = 5.0
MAX_THREADS = 64
Send = Callable[[protocol.Request], RemoteDelivery]
_transport: "BaseAdapter | None" = None


def client_for(account: Account) -> "client.KaspiClient":
    """Return the client of an account, with its open connections."""
    return _client(account.base_url, account.api_key, _transport)


@contextmanager
def transport(adapter: "BaseAdapter") -> Iterator[None]:
    """Send every call through this `requests` adapter instead of the network, for tests."""
    global _transport  # noqa: PLW0603  # one process, one network
    before, _transport = _transport, adapter
    try:
        yield
    finally:
        _transport = before


@lru_cache(maxsize=64)
def _client(base_url: str, api_key: str, adapter: "BaseAdapter | None") -> "client.KaspiClient":
    return client.KaspiClient(api_key, base_url=base_url, transport=adapter, pool_size=MAX_THREADS)


def send(call_pk: int, *, total_s: float | None = None) -> bool:
    """Try one call once, if it is due and may be sent. Return whether a request was made.

    Kaspi's errors are recorded, not raised. `total_s` bounds the HTTP exchange, in seconds.
    """
    claim = claims.claim(call_pk)
    if claim is None:
        return False
    began = time.monotonic()
    outcome = transmit(claim, total_s)
    took_s = time.monotonic() - began
    record(claim, outcome)
    send_call_attempted(claim, outcome, took_s)
    return True


def transmit(claim: Claim, total_s: float | None = None) -> RemoteDelivery | KaspiError:
    """Send a claimed call, and return the outcome. It uses no database, and may run in any thread."""
    send_now = partial(client_for(claim.account).send, total_s=total_s)
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


def record(claim: Claim, outcome: RemoteDelivery | KaspiError) -> None:
    """Record the outcome of a claimed call; log it, with Kaspi's id, when it cannot be recorded."""
    try:
        _record_storable(claim, outcome)
    except Exception as err:
        log_unrecorded(claim, outcome)
        if not db.is_data_error(err):
            raise
        contain(err, claim.call.pk, token=claim.call.claim_token)


def _record_storable(claim: Claim, outcome: RemoteDelivery | KaspiError) -> None:
    """Record the outcome; replace text that the database's character set cannot store."""
    jitter = random.random()  # noqa: S311  # no secret
    for reduced in (db.without_astral, _in_ascii):
        try:
            _record_once(claim, outcome, jitter)
        except DatabaseError as err:
            if not db.is_data_error(err):
                raise
            logger.warning("text replaced: call=%s error=%s", claim.call.pk, errors.describe(err))
            outcome = results.with_text_replaced(outcome, reduced)
        else:
            return
    _record_once(claim, outcome, jitter)


def _in_ascii(text: str) -> str:
    """Escape every letter that is not ASCII, as Python does."""
    return text.encode("ascii", "backslashreplace").decode()


def _record_once(claim: Claim, outcome: RemoteDelivery | KaspiError, jitter: float) -> None:
    """Record the outcome in a transaction; by all rules when it turns out to be no plain booking."""
    record = partial(results.record, claim, outcome, jitter)
    try:
        db.run_in_transaction(record)
    except IntegrityError as err:
        logger.warning("no plain booking: call=%s error=%s", claim.call.pk, errors.describe(err))
        db.run_in_transaction(partial(record, by_all_rules=True))


def log_unrecorded(claim: Claim, outcome: RemoteDelivery | KaspiError) -> None:
    """Log the delivery id of an outcome that cannot be recorded: it is stored nowhere else."""
    booked = outcome.delivery_id if isinstance(outcome, RemoteDelivery) else ""
    logger.error("answer not recorded: call=%s delivery_id=%s", claim.call.pk, booked)


def send_call_attempted(claim: Claim, outcome: RemoteDelivery | KaspiError, took_s: float) -> None:
    """Send the signal `call_attempted`."""
    error = outcome if isinstance(outcome, KaspiError) else None
    is_replay = isinstance(outcome, RemoteDelivery) and outcome.replayed
    call_attempted.send_robust(ApiCall, call=claim.call, error=error, seconds=took_s, replayed=is_replay)


def send_inline(call_pk: int) -> None:
    """Try a call at once in a customer's request: with a short deadline, and only once."""
    send(call_pk, total_s=INLINE_TOTAL_S)


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
    """Fetch the delivery id that staff entered; accept only an answer that names our order."""
    external_id = claim.delivery.external_order_id or ""
    found = send_now(protocol.get(claim.call.payload, include_history=True, external_order_id=external_id))
    if found.external_order_id != external_id:
        raise ForeignDelivery("the answer names no order")
    return found


def _cancel_again(claim: Claim, send_now: Send) -> RemoteDelivery:
    """Fetch the delivery first: the cancel may have worked; else send at most one more POST with the same bytes."""
    found = send_now(protocol.get(claim.delivery.delivery_id or ""))
    if conf.is_final(found.status) or not is_cancellable(found.status):
        return found
    if claim.call.strikes >= MAX_FAILURES - 1:
        raise OutcomeUnknown("still not cancelled after the second request")
    return send_now(_request(claim))


Result = TypeVar("Result")
_DRIVER_ERRORS = (OverflowError, UnicodeError)  # of the driver itself: too large for SQLite, no UTF-8
NOT_STORED = "the database cannot store a value of this row"


def run_contained(work: Callable[[], Result], call_pk: int) -> Result | None:
    """Do the work of one call; raise only when the database is unavailable."""
    try:
        return work()
    except Exception as err:  # noqa: BLE001  # sorted by what it means
        contain(err, call_pk)
    return None


def contain(err: Exception, call_pk: int, *, token: str = "") -> None:
    """Contain an error to one call: log it; raise when the database is unavailable.

    A call whose data the database refuses is flagged for staff: it would be refused in every round. `token` is that
    of the caller's claim, if it has one.
    """
    if not (db.is_data_error(err) or isinstance(err, _DRIVER_ERRORS)):
        _log_error(err, call_pk)
        return
    log_failure(call_pk, err)
    error = f"{NOT_STORED}: {errors.describe(err)}"
    try:
        db.run_in_transaction(partial(claims.flag_data_error, call_pk, error, token=token))
    except Exception as second:  # noqa: BLE001  # sorted below
        _log_error(second, call_pk)


def log_failure(call_pk: int, err: Exception) -> None:
    """Log an error of our code, or the shop's, on a call."""
    logger.error("call failed with an error: call=%r error=%s", call_pk, errors.describe(err))


def _log_error(err: Exception, call_pk: int) -> None:
    if db.is_unavailable(err):
        db.defer_or_raise(err, f"call={call_pk}")
    else:
        log_failure(call_pk, err)
