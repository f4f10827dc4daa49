"""Put calls to Kaspi into the outbox. The caller holds the delivery's lock, or has just made it."""

from datetime import datetime, timedelta

from django.db.models import QuerySet

from kaspi_delivery_django.client import wire
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import clock, nudges

State, Kind = ApiCall.State, ApiCall.Kind


# The database's clock decides what is due, and it may be behind the one of this process.
SKEW = timedelta(minutes=1)


def calls_of(delivery: Delivery, kind: ApiCall.Kind) -> QuerySet[ApiCall]:
    """Return a delivery's calls of one kind, the newest first."""
    rows = ApiCall.objects.using(delivery._state.db).of_kind(kind)
    return rows.filter(delivery=delivery).order_by("-pk")


def add_create(delivery: Delivery, *, state: ApiCall.State = State.DUE, error: str = "") -> ApiCall:
    """Intend to book. The payload is built by whoever sends it first."""
    now = clock.now()
    call = ApiCall.objects.using(delivery._state.db).create(
        delivery=delivery,
        kind=Kind.CREATE,
        idempotency_key=delivery.external_order_id or "",
        state=state,
        next_attempt_at=now - SKEW if state == State.DUE else None,
        queued_at=now,
        error_message=error,
    )
    if state == State.DUE:
        nudges.nudge(call)
    return call


def add_cancel(delivery: Delivery) -> ApiCall:
    """Intend to cancel a linked delivery: one POST per reason, however often it is asked for."""
    cancels = calls_of(delivery, Kind.CANCEL)
    payload = wire.cancel_text(delivery.cancel_reason)
    latest = cancels.first()
    if latest and (latest.state in ApiCall.UNRESOLVED or _is_same(latest, payload)):
        return latest
    number = cancels.count() + 1
    suffix = "-cancel" if number == 1 else f"-cancel-{number}"
    now = clock.now()
    call = ApiCall.objects.using(delivery._state.db).create(
        delivery=delivery,
        kind=Kind.CANCEL,
        idempotency_key=f"{delivery.external_order_id}{suffix}",
        payload=payload,
        payload_sha256=wire.digest(payload),
        next_attempt_at=now - SKEW,
        queued_at=now,
    )
    nudges.nudge(call)
    return call


def add_refresh(delivery: Delivery) -> ApiCall:
    """Intend to ask Kaspi. One row serves every refresh, so that polling grows no table.

    A refresh that is under way keeps its place, and what it knows of earlier answers.
    """
    now = clock.now()
    moment = {"next_attempt_at": now - SKEW, "queued_at": now}
    call, created = ApiCall.objects.using(delivery._state.db).get_or_create(
        delivery=delivery,
        idempotency_key=f"{delivery.external_order_id}-refresh",
        defaults={"kind": Kind.REFRESH, **moment},
    )
    if created:
        nudges.nudge(call)
    elif call.state not in ApiCall.UNRESOLVED:
        release(call, now)
    return call


def release(call: ApiCall, now: datetime) -> None:
    """Let a call go again, as if it were new: it is due at once and its age starts over."""
    key = call.idempotency_key or call.delivery.external_order_id
    moment = {"next_attempt_at": now - SKEW, "queued_at": now}
    fresh = {"state": State.DUE, "idempotency_key": key, "attempts": 0, "strikes": 0, **moment}
    for name, value in fresh.items():
        setattr(call, name, value)
    call.save(update_fields=[*fresh, "updated_at"])
    nudges.nudge(call)


def finish(calls: QuerySet[ApiCall], state: ApiCall.State) -> int:
    """End calls that need no request any more. Returns how many there were."""
    ended = {"state": state, "next_attempt_at": None, "claim_token": "", "unknown_since": None}
    return calls.update(**ended, updated_at=clock.now())


def never_sent(delivery: Delivery) -> QuerySet[ApiCall]:
    """Return the create that Kaspi cannot have acted on and that nobody is sending now."""
    idle = (State.DUE, State.STUCK, State.REFUSED)
    return calls_of(delivery, Kind.CREATE).filter(state__in=idle, unknown_since__isnull=True)


def _is_same(latest: ApiCall, payload: str) -> bool:
    return latest.state == State.DONE and latest.payload == payload
