"""Record many plain bookings in one transaction: creates that Kaspi answered with a delivery.

Everything else (other answers, a webhook that was faster, a cancel, a second parcel) is left to `results`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

from django.db.models import Exists, OuterRef

from kaspi_delivery_django.client import KaspiError, RemoteDelivery
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.models.calls import finished
from kaspi_delivery_django.services import clock, fast_sql
from kaspi_delivery_django.services.db import after_commit, database_now, run_in_transaction
from kaspi_delivery_django.services.deliveries import notifications, status
from kaspi_delivery_django.services.locks import lock_unlocked
from kaspi_delivery_django.services.outbox import circuit_breaker
from kaspi_delivery_django.services.outbox.leases import Claim, fence
from kaspi_delivery_django.statuses import CREATED

Kind, State = ApiCall.Kind, ApiCall.State
Booking: TypeAlias = tuple[Claim, RemoteDelivery]  # a claimed create, and Kaspi's answer to it
COLUMNS = (
    "delivery_id",
    "status",
    "status_at",
    "tracking_url",
    "pickup_by",
    "delivery_by",
    "raw",
    "next_refresh_at",
    "updated_at",
)
ANSWERED: dict[str, Any] = {"strikes": 0, "http_status": None, "error_code": "", "error_message": ""}


class ClaimsLost(Exception):
    """Another sender has taken over one of the claims."""


def plain_booking(claim: Claim, outcome: RemoteDelivery | KaspiError) -> Booking | None:
    """Return the outcome as a booking if it may be a plain one."""
    is_first = claim.call.kind == Kind.CREATE and claim.delivery.generation == 1
    if not isinstance(outcome, RemoteDelivery) or claim.is_trial or not is_first or outcome.replayed:
        return None
    return (claim, outcome) if outcome.status in {CREATED, ""} else None


def record_many(bookings: Sequence[Booking]) -> set[int]:
    """Record those that are plain and unlocked in one transaction; return their calls.

    Raises `ClaimsLost` when a claim was lost meanwhile, and `IntegrityError` when another delivery has one of the ids;
    nothing is written then.
    """
    return run_in_transaction(partial(record_locked, bookings))


def record_locked(bookings: Sequence[Booking]) -> set[int]:
    """Record those that are plain, in the open transaction; return their calls. Raises as `record_many` does."""
    rows = Delivery.objects.filter(pk__in=[claim.delivery.pk for claim, _remote in bookings])
    locked = lock_unlocked(
        rows.annotate(is_awaited=_is_awaited(), locked_at=clock.Now())  # type: ignore[no-redef]  # no column of its own
    )
    untouched = {row.pk: row for row in locked if _is_untouched(row)}
    booked = [(claim, remote) for claim, remote in bookings if claim.delivery.pk in untouched]
    if booked:
        _finish(booked)
        _link([(untouched[claim.delivery.pk], remote) for claim, remote in booked])
    _record_announcements(booked)
    return {claim.call.pk for claim, _remote in booked}


def _record_announcements(booked: Sequence[Booking]) -> None:
    announced = {(claim.account.alias, remote.announcement): claim.delivery for claim, remote in booked}
    for (_alias, text), delivery in announced.items():
        if text:
            circuit_breaker.record_announcement(delivery, text, database_now())


def _is_untouched(delivery: Delivery) -> bool:
    """Return whether neither Kaspi nor staff have changed the delivery since its order was saved."""
    is_changed = delivery.delivery_id is not None or delivery.status or delivery.is_awaited  # type: ignore[attr-defined]  # annotated
    return not (is_changed or delivery.attention or delivery.cancel_requested_at or delivery.blanked_at)


def _is_awaited() -> Exists:
    """Build the condition, on a delivery, that an event is parked for its order."""
    own = {name: OuterRef(name) for name in ("account", "environment", "external_order_id")}
    return Exists(WebhookEvent.objects.filter(**own, state=WebhookEvent.State.PARKED))


def _finish(booked: Sequence[Booking]) -> None:
    """Finish the calls, each fenced by its token."""
    columns = {**finished(State.DONE, clock.now()), **ANSWERED}
    changed = [
        ({**columns, "request_id": remote.request_id}, {"id": claim.call.pk, **fence(claim.call)})
        for claim, remote in booked
    ]
    if fast_sql.update_matching(ApiCall, changed) != len(booked):
        raise ClaimsLost


def _link(booked: Sequence[tuple[Delivery, RemoteDelivery]]) -> None:
    changes, now = [], clock.now()
    for delivery, remote in booked:
        delivery.delivery_id, delivery.updated_at = remote.delivery_id, now
        status.mirror(delivery, remote)
        changes.append(
            status.first_change(delivery, status.StatusUpdate(status=CREATED, source=StatusChange.Source.CREATE))
        )
    fast_sql.update_all([delivery for delivery, _remote in booked], COLUMNS)
    fast_sql.insert_all(changes)
    unnotified = [change for change in changes if change.notified_at is None]
    if unnotified:
        after_commit(notifications.notify_all, unnotified)
