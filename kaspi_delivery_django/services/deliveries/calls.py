"""Put calls to Kaspi into the outbox. The caller holds the delivery's lock, or has just made it."""

import json
import logging
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from kaspi_delivery_django.client import (
    protocol,
)
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services import clock, fast_sql
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.services.deliveries import runners


def is_changed(call: ApiCall) -> bool:
    """Tell whether the bytes that a POST would send are no longer those that were written for its key."""
    return bool(call.payload_sha256) and protocol.digest(call.payload) != call.payload_sha256


logger = logging.getLogger(__name__)
State, Kind = ApiCall.State, ApiCall.Kind

ACTING = (Kind.CREATE, Kind.CANCEL)
REPLAY_WINDOW = timedelta(hours=23)
MAX_FAILURES = 3


# The database's clock decides what is due, and it may be behind the one of this process.
MAX_CLOCK_SKEW = timedelta(minutes=1)


# A booking of unknown age counts as one whose key Kaspi has forgotten.
KEY_LIFETIME = timedelta(hours=24)


def calls_of(delivery: Delivery, kind: ApiCall.Kind) -> QuerySet[ApiCall]:
    """Return a delivery's calls of one kind, the newest first."""
    rows = ApiCall.objects.of_kind(kind)
    return rows.filter(delivery=delivery).order_by("-pk")


def add_create(delivery: Delivery) -> ApiCall:
    """Intend to book. The payload is built by whoever sends it first."""
    now = clock.now()
    call = ApiCall(
        delivery=delivery,
        kind=Kind.CREATE,
        idempotency_key=delivery.external_order_id or "",
        next_attempt_at=now - MAX_CLOCK_SKEW,
        queued_at=now,
    )
    due = clock.stamped("next_attempt_at", "queued_at")
    fast_sql.insert(call, using=db_alias(), stamped=due)
    runners.notify_runner(call)
    return call


def add_stuck_create(delivery: Delivery, reason: Attention, error: str) -> ApiCall:
    """Remember that a booking is wanted, and what a person must do first."""
    return ApiCall.objects.create(
        delivery=delivery,
        kind=Kind.CREATE,
        idempotency_key=delivery.external_order_id or "",
        state=State.STUCK,
        queued_at=clock.now(),
        reason=reason,
        error_message=error,
    )


def add_booked_elsewhere(delivery: Delivery) -> ApiCall:
    """Remember a booking that other code, or a person, has made: it is never sent from here."""
    now = clock.now()
    return ApiCall.objects.create(
        delivery=delivery,
        kind=Kind.CREATE,
        idempotency_key=delivery.external_order_id or "",
        state=State.STUCK,
        queued_at=now,
        unknown_since=now - KEY_LIFETIME,
        reason=Attention.OUTCOME_UNKNOWN,
    )


def add_cancel(delivery: Delivery) -> ApiCall:
    """Intend to cancel a linked delivery: one POST per reason, however often it is asked for."""
    cancels = calls_of(delivery, Kind.CANCEL)
    payload = protocol.cancel_text(delivery.cancel_reason, ascii_only=True)
    latest = cancels.first()
    if latest and (latest.state in ApiCall.UNRESOLVED or _is_same(latest, payload)):
        return latest
    number = cancels.count() + 1
    suffix = "-cancel" if number == 1 else f"-cancel-{number}"
    now = _now()
    call = ApiCall.objects.create(
        delivery=delivery,
        kind=Kind.CANCEL,
        idempotency_key=f"{delivery.external_order_id}{suffix}",
        payload=payload,
        payload_sha256=protocol.digest(payload),
        next_attempt_at=now - MAX_CLOCK_SKEW,
        queued_at=now,
    )
    runners.notify_runner(call)
    return call


def add_refresh(delivery: Delivery, *, at_once: bool = False) -> ApiCall:
    """Intend to ask Kaspi. One row serves every refresh, so that polling grows no table.

    A refresh that is under way keeps what it knows of earlier answers, and its place unless it is
    wanted `at_once`.
    """
    call, created = _one_row(delivery, Kind.REFRESH)
    if not created and call.state not in ApiCall.UNRESOLVED:
        release(call, _now())
    elif not created and at_once:
        make_due(call)
    return call


def add_link(delivery: Delivery, delivery_id: str) -> ApiCall:
    """Intend to ask Kaspi whether this id is the delivery's, and to link it if it is."""
    call, created = _one_row(delivery, Kind.LINK, payload=delivery_id)
    if not created:
        call.payload = delivery_id
        call.save(update_fields=["payload"])
        release(call, _now())
    return call


def release(call: ApiCall, now: datetime) -> None:
    """Let a call go again, as if it were new: it is due at once and its age starts over."""
    key = call.idempotency_key or call.delivery.external_order_id
    fresh = {"state": State.DUE, "idempotency_key": key, "attempts": 0, "strikes": 0, "queued_at": now}
    _change(call, **fresh, next_attempt_at=now - MAX_CLOCK_SKEW, reason="", error_code="", error_message="")
    runners.notify_runner(call)


def send_again(call: ApiCall, *, strikes: int = 0) -> None:
    """Let a stuck call that Kaspi may have acted on go again: the same key, the same bytes."""
    _change(call, state=State.UNKNOWN, strikes=strikes, next_attempt_at=_now() - MAX_CLOCK_SKEW, reason="")
    runners.notify_runner(call)


def make_due(call: ApiCall) -> None:
    """Let a call that waits for its next try be tried now; one that is being sent is left alone."""
    waiting = ApiCall.objects.filter(pk=call.pk, state__in=(State.DUE, State.UNKNOWN))
    now = _now()
    if waiting.update(next_attempt_at=now - MAX_CLOCK_SKEW, updated_at=now):
        runners.notify_runner(call)


def mark_stuck(call: ApiCall, reason: Attention, error: str = "") -> None:
    """Let a call wait for a person."""
    logger.error("call stuck: call=%s reason=%s error=%s", call.pk, reason.value, error or "-")
    ended = {"state": State.STUCK, "next_attempt_at": None, "claim_token": "", "reason": reason}
    _change(call, **ended, error_message=error or call.error_message)


def postpone(call: ApiCall, until: datetime, reason: Attention) -> None:
    """Let a call that was never sent wait until then."""
    _change(call, state=State.DUE, next_attempt_at=until, claim_token="", reason=reason)


def finish(calls: QuerySet[ApiCall], state: ApiCall.State, **columns: Any) -> int:
    """End calls that need no request any more. Returns how many there were."""
    ended = {"state": state, "next_attempt_at": None, "claim_token": "", "unknown_since": None, "reason": ""}
    return calls.update(**ended, updated_at=clock.now(), **columns)


def never_sent(delivery: Delivery) -> QuerySet[ApiCall]:
    """Return the create that Kaspi cannot have acted on and that nobody is sending now."""
    idle = (State.DUE, State.STUCK, State.REFUSED)
    return calls_of(delivery, Kind.CREATE).filter(state__in=idle, unknown_since__isnull=True)


def rename_unsent(delivery: Delivery, key: str) -> int:
    """Give the create of a locked delivery this key, while nothing of it was sent: what was built is built again."""
    unbuilt = Q(payload="")
    unsent = Q(state=State.DUE, attempts=0, http_status__isnull=True, error_code="", error_message="")
    own = never_sent(delivery).filter(unbuilt | unsent)
    return own.update(idempotency_key=key, payload="", payload_sha256="", updated_at=clock.now())


def idle_cancels(delivery: Delivery) -> QuerySet[ApiCall]:
    """Return the cancels that wait, for their turn or for a person."""
    return calls_of(delivery, Kind.CANCEL).filter(state__in=(State.DUE, State.UNKNOWN, State.STUCK))


def _now() -> datetime:
    """Return the database's time: it decides what is due, and this process's clock may be wrong."""
    return clock.database_now(db_alias())


def _one_row(delivery: Delivery, kind: ApiCall.Kind, *, payload: str = "") -> tuple[ApiCall, bool]:
    now = _now()
    call, created = ApiCall.objects.get_or_create(
        delivery=delivery,
        idempotency_key=f"{delivery.external_order_id}-{kind}",
        defaults={"kind": kind, "payload": payload, "next_attempt_at": now - MAX_CLOCK_SKEW, "queued_at": now},
    )
    if created:
        runners.notify_runner(call)
    return call, created


def _change(call: ApiCall, **columns: Any) -> None:
    for name, value in columns.items():
        setattr(call, name, value)
    call.save(update_fields=[*columns, "updated_at"])


def _is_same(latest: ApiCall, payload: str) -> bool:
    return latest.state == State.DONE and json.loads(latest.payload or "{}") == json.loads(payload)
