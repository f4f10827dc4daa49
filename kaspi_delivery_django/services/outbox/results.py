"""Record the outcome of one attempt, in one transaction, fenced by the claim's token."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from kaspi_delivery_django.client import ConfigurationFault, KaspiError, NotFound, RemoteDelivery
from kaspi_delivery_django.client.protocol import seconds_until
from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, StatusChange
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import database_now
from kaspi_delivery_django.services.deliveries import attention, events, status
from kaspi_delivery_django.services.locks import lock_current
from kaspi_delivery_django.services.outbox import circuit_breaker, plain_bookings
from kaspi_delivery_django.services.outbox.leases import Claim, held
from kaspi_delivery_django.services.outbox.retry_policy import DONE, Attempt, Decision, decide
from kaspi_delivery_django.statuses import CREATED

logger = logging.getLogger(__name__)
Kind, Source, State = ApiCall.Kind, StatusChange.Source, ApiCall.State
SECOND_PARCEL = "second_parcel"
ERROR_LENGTH = 200
ASK_AFTER_CANCEL = timedelta(minutes=1)


def record(
    claim: Claim, outcome: RemoteDelivery | KaspiError, randomness: float, *, by_all_rules: bool = False
) -> None:
    """Record the outcome of a claimed call, inside a transaction.

    A claim that was lost meanwhile changes nothing, but its delivery id is stored. A plain booking takes few
    statements; it raises `IntegrityError` when another delivery has the id: then record it `by_all_rules`.
    """
    booking = None if by_all_rules else plain_bookings.plain_booking(claim, outcome)
    with suppress(plain_bookings.ClaimsLost):  # nothing was written
        if booking is not None and plain_bookings.record_locked([booking]):
            return
    delivery = lock_current(claim.delivery)
    now = database_now()
    decision = _decide(claim, outcome, randomness, now)
    _update_breaker(claim, delivery, decision, outcome, now)
    circuit_breaker.record_announcement(delivery, outcome.announcement, now)
    was_held = _write(claim, decision, outcome, now)
    if isinstance(outcome, RemoteDelivery):
        _succeed(claim, delivery, outcome, now)
        return
    _record_attempt(claim, outcome, now)
    if was_held:
        _fail(claim, delivery, decision, outcome, now)


def with_text_replaced(
    outcome: RemoteDelivery | KaspiError, reduced: Callable[[str], str]
) -> RemoteDelivery | KaspiError:
    """Return the outcome with each of Kaspi's texts reduced to what the database can store."""
    if isinstance(outcome, KaspiError):
        outcome.message = reduced(outcome.message)
        return outcome
    history = tuple(replace(entry, notes=reduced(entry.notes)) for entry in outcome.history)
    return replace(outcome, tracking_url=reduced(outcome.tracking_url), history=history)


def _decide(claim: Claim, outcome: RemoteDelivery | KaspiError, randomness: float, now: datetime) -> Decision:
    if isinstance(outcome, RemoteDelivery):
        return DONE
    if outcome.retry_at is not None:  # by the database's clock: this process's may be wrong
        outcome.retry_after_s = seconds_until(outcome.retry_at, now)
    attempt = Attempt(
        kind=claim.call.kind, attempts=claim.call.attempts, strikes=claim.call.strikes, was_unknown=claim.was_unknown
    )
    return decide(attempt, outcome, randomness)


def _update_breaker(
    claim: Claim, delivery: Delivery, decision: Decision, outcome: RemoteDelivery | KaspiError, now: datetime
) -> None:
    """Close the circuit breaker after an answered trial call; open it when the account must pause."""
    is_answered = decision.pause_s is None and (isinstance(outcome, RemoteDelivery) or bool(outcome.status))
    if claim.is_trial and is_answered:
        circuit_breaker.reset(delivery, now)
    elif claim.is_trial:
        circuit_breaker.release_trial(delivery, now)
    if decision.pause_s is not None:
        pause = timedelta(seconds=decision.pause_s)
        circuit_breaker.trip(delivery, until=now + pause, reason=str(outcome)[:ERROR_LENGTH])


def _write(claim: Claim, decision: Decision, outcome: RemoteDelivery | KaspiError, now: datetime) -> bool:
    call = claim.call
    error = outcome if isinstance(outcome, KaspiError) else None
    wait = decision.retry_in_s
    changes: dict[str, Any] = {
        "attempts": call.attempts if decision.counts else call.attempts - 1,
        "strikes": decision.strikes,
        "http_status": error.status if error else None,
        "error_code": error.code if error else "",
        "error_message": _message_of(error) if error else "",
        "request_id": outcome.request_id,
        "reason": decision.attention or "",
    }
    if decision.state == State.DONE or not (decision.acted or claim.was_unknown):
        changes["unknown_since"] = None
    next_attempt_at = None if wait is None else now + timedelta(seconds=wait)
    return bool(held(call).end_lease(decision.state, now=now, next_attempt_at=next_attempt_at, **changes))


def _record_attempt(claim: Claim, error: KaspiError, now: datetime) -> None:
    """Record the failed attempt: the call itself shows the last one only."""
    FailedAttempt.objects.create(
        call=claim.call,
        kind=claim.call.kind,
        at=now,
        http_status=error.status,
        error=error.args[0][:ERROR_LENGTH],
        error_message=error.message,
        request_id=error.request_id,
    )


def _message_of(error: KaspiError) -> str:
    """Return Kaspi's message, after ours where Kaspi's does not name what to correct."""
    if isinstance(error, ConfigurationFault):
        return f"{error}: {error.message}" if error.message else str(error)
    return error.message or str(error)


def _succeed(claim: Claim, delivery: Delivery, remote: RemoteDelivery, now: datetime) -> None:
    if claim.call.kind == Kind.CREATE:
        _booked(claim, delivery, remote, now)
    elif claim.call.kind == Kind.CANCEL:
        _cancelled(delivery, remote)
    elif claim.call.kind == Kind.LINK:
        _found(claim, delivery, remote, now)
    else:
        _refreshed(claim, delivery, remote, now)


def _booked(claim: Claim, delivery: Delivery, remote: RemoteDelivery, now: datetime) -> None:
    if not events.link(delivery, remote.delivery_id):
        second = {"error_code": SECOND_PARCEL, "error_message": remote.delivery_id}
        ApiCall.objects.filter(pk=claim.call.pk).update(**second)
        status.save(delivery)
        return
    status.mirror(delivery, remote)
    update = status.StatusUpdate(status=remote.status or CREATED, source=Source.CREATE)
    status.apply(delivery, update)
    if (
        remote.replayed and delivery.is_open and not delivery.cancel_requested_at
    ):  # else the cancel's answer has the status
        delivery.next_refresh_at = now  # a stored answer: webhooks since then may have been lost
    status.save(delivery)
    events.after_link(delivery)


def _found(claim: Claim, delivery: Delivery, remote: RemoteDelivery, now: datetime) -> None:
    if not events.link(delivery, remote.delivery_id, is_requested=True):
        status.save(delivery)
        return
    _refreshed(claim, delivery, remote, now)
    events.after_link(delivery)


def _cancelled(delivery: Delivery, remote: RemoteDelivery) -> None:
    status.mirror(delivery, remote)
    if remote.status:
        update = status.StatusUpdate(status=remote.status, source=Source.CANCEL, note=delivery.cancel_reason)
        status.apply(delivery, update)
    status.reschedule(delivery, after=ASK_AFTER_CANCEL)
    status.save(delivery)


def _refreshed(claim: Claim, delivery: Delivery, remote: RemoteDelivery, now: datetime) -> None:
    """Correct the status by Kaspi's answer, unless the delivery changed while the call was in flight."""
    unmoved = claim.delivery.updated_at == delivery.updated_at
    status.mirror(delivery, remote)
    delivery.next_refresh_at = status.next_refresh(delivery) if unmoved else now
    status.add_missing_steps(delivery, remote.history, now, about_to=remote.status)
    stamps = {entry.status: entry.timestamp for entry in remote.history}
    at = clock.plausible(stamps.get(remote.status), now)
    update = status.StatusUpdate(status=remote.status, source=Source.REFRESH, at=at)
    if unmoved and remote.status:
        status.correct(delivery, update)
    elif remote.status:
        status.apply(delivery, update)
    attention.clear(delivery, attention.OF_REFRESH)
    attention.flag_unknown_status(delivery, clock.now_of(delivery))
    status.save(delivery)


def _fail(claim: Claim, delivery: Delivery, decision: Decision, error: KaspiError, now: datetime) -> None:
    kind, ended = claim.call.kind, decision.retry_in_s is None
    if kind == Kind.CREATE and delivery.delivery_id:  # linked by a webhook meanwhile
        ApiCall.objects.of(delivery, Kind.CREATE).finish(State.DONE, now)
        return
    if decision.attention is not None:
        attention.flag(delivery, decision.attention)
    if kind == Kind.LINK and ended and not delivery.attention:
        attention.flag_stopped_call(delivery)
    if kind == Kind.CANCEL and ended and not isinstance(error, NotFound):
        delivery.next_refresh_at = now
    if kind == Kind.REFRESH and ended:
        delivery.next_refresh_at = None
    if kind == Kind.CREATE and delivery.cancel_requested_at:
        status.cancel_unsent(delivery)
    status.save(delivery)
