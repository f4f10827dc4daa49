"""Act on a delivery: cancel, refresh, retry, link, acknowledge, mark as final."""

import logging
from datetime import datetime, timedelta

from django.db import DatabaseError

from kaspi_delivery_django.client.types import check_reason
from kaspi_delivery_django.exceptions import CannotCancel, DeliveryError
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.models.calls import MAX_FAILURES
from kaspi_delivery_django.services import clock, errors
from kaspi_delivery_django.services.db import database_now, defer_or_raise, is_transient, is_unavailable, storable
from kaspi_delivery_django.services.deliveries import attention, calls, preflight, rules, status
from kaspi_delivery_django.services.locks import locked_row
from kaspi_delivery_django.statuses import CANCELLED

logger = logging.getLogger(__name__)
State, Kind = ApiCall.State, ApiCall.Kind
DELAY_AFTER_ERROR = timedelta(minutes=15)


def cancel_delivery(delivery: Delivery, *, reason: str = "") -> Delivery:
    """Cancel a delivery that the courier has not picked up; return it as it is then.

    A booking that was never sent is abandoned without a request; while it is being sent, the cancel is remembered.
    Cancelling twice sends one request. Raises `CannotCancel`, or `UsageError` for a reason that cannot be sent.
    """
    check_reason(reason)
    reason = storable(reason)
    with locked_row(delivery) as locked:
        if locked.status == CANCELLED or rules.is_abandoned(locked):
            return locked
        rules.check_cancel(locked)
        locked.cancel_requested_at = locked.cancel_requested_at or clock.now_of(locked)
        if not ApiCall.objects.of(locked, Kind.CANCEL).filter(state__in=ApiCall.UNRESOLVED).exists():
            locked.cancel_reason = reason or locked.cancel_reason  # else another one is under way
        if locked.delivery_id:
            calls.add_cancel(locked)
        else:
            status.cancel_unsent(locked)
        attention.clear(locked, attention.OF_CANCEL)
        status.save(locked, (*status.MIRROR_COLUMNS, "unwanted_since"))
    return locked


def cancel_for_shop(delivery: Delivery, *, reason: str) -> None:
    """Cancel a delivery that the adapter wants cancelled; flag one that the courier has picked up."""
    try:
        cancel_delivery(delivery, reason=reason)
    except CannotCancel:
        with locked_row(delivery) as locked:
            locked.cancel_requested_at = clock.now_of(locked)
            attention.flag(locked, Attention.CANCEL_REFUSED)
            locked.save(update_fields=["cancel_requested_at", *attention.COLUMNS])


def refresh_delivery(delivery: Delivery) -> ApiCall:
    """Fetch the delivery from Kaspi now. Raises `CannotRefresh` before it has an id."""
    return _add_refresh(delivery, at_once=True)


def retry_delivery(delivery: Delivery, *, send_anyway: bool = False, send_early: bool = False) -> Delivery:
    """Retry the delivery's pending and stuck calls now; return the delivery as it is then.

    A create that Kaspi may have booked is sent with its own key and bytes, and only while Kaspi surely knows the
    key. Before a first create is sent the adapter is asked again. As staff decide, `send_anyway` sends a delivery that
    waits because `wants_delivery` is false, and `send_early` one that `not_before` postpones; `wants_cancel` still
    cancels it. A delivery that its adapter failed on and does not want is deleted, and returned without a primary key.
    Raises `CannotRetry`.
    """
    with locked_row(delivery) as locked:
        if send_anyway:
            rules.check_send(locked)
        elif send_early:
            rules.check_send_early(locked)
        else:
            safe = rules.check_retry(locked, clock.now_of(locked))
        if locked.is_held or locked.is_postponed:
            preflight.release_for_staff(locked, send_anyway=send_anyway)
            return locked
        if not locked.external_order_id:
            return preflight.retry_naming(locked)
        reasons = frozenset(Attention(call.reason) for call in safe if call.reason)
        for call in safe:
            _retry(call, clock.now_of(locked))
        attention.clear(locked, reasons)
        locked.save(update_fields=attention.COLUMNS)
    return locked


def link_delivery(delivery: Delivery, delivery_id: str) -> ApiCall:
    """Link a delivery by the id that staff found at Kaspi.

    A GET comes first: Kaspi must return the delivery's own external order id. Raises `CannotLink`.
    """
    with locked_row(delivery) as locked:
        rules.check_link(locked, delivery_id)
        return calls.add_link(locked, delivery_id)


def acknowledge_delivery(delivery: Delivery, *, confirmed_absent: bool = False) -> Delivery:
    """Clear the flag of a delivery: staff have dealt with it.

    An unbooked delivery is abandoned. `confirmed_absent` confirms that Kaspi has no delivery of this name. The
    delivery stays flagged if another of its calls needs manual review. Raises `CannotAcknowledge`.
    """
    with locked_row(delivery) as locked:
        rules.check_acknowledge(locked, confirmed_absent=confirmed_absent)
        if locked.delivery_id:
            flagged = ApiCall.objects.filter(delivery=locked, reason=locked.attention, state__in=ApiCall.STOPPED)
            flagged.finish(State.ABANDONED, clock.now_of(locked))
            attention.acknowledge(locked)
            locked.save(update_fields=attention.COLUMNS)
        else:
            status.abandon(locked)
    return locked


def mark_final(delivery: Delivery) -> Delivery:
    """End a delivery whose status is unknown to this version, when staff know that it is over.

    It is no longer refreshed, and its personal data is anonymized like that of every ended delivery.
    Another status from Kaspi opens it again. Raises `CannotMarkFinal`.
    """
    with locked_row(delivery) as locked:
        rules.check_mark_final(locked)
        locked.final_at, locked.next_refresh_at = clock.now_of(locked), None
        for kind in (Kind.REFRESH, Kind.CANCEL):
            pending = ApiCall.objects.of(locked, kind).exclude(state__in=(State.SENDING, State.DONE))
            pending.finish(State.ABANDONED, clock.now_of(locked))
        attention.clear(locked, attention.OF_COURIER)
        status.save(locked, status.STATUS_COLUMNS)
    return locked


def refresh_stale(*, limit: int) -> int:
    """Add refreshes of deliveries that are due for one. Return their number."""
    stale = list(Delivery.objects.stale(database_now())[:limit])
    return sum(_refresh_contained(delivery) for delivery in stale)


def _refresh_contained(delivery: Delivery) -> bool:
    """Refresh one delivery, or delay it after an error; re-raise when the database is unavailable.

    Returns False when it is still due.
    """
    try:
        _refresh_if_possible(delivery)
    except Exception as err:  # noqa: BLE001  # sorted by its meaning
        if is_unavailable(err) or is_transient(err):
            defer_or_raise(err, f"delivery={delivery.pk}")
            return False
        logger.error("not refreshed: delivery=%s error=%s", delivery.pk, errors.describe(err))  # noqa: TRY400
        return _delay_refresh(delivery)
    return True


def _refresh_if_possible(delivery: Delivery) -> None:
    try:
        _add_refresh(delivery, at_once=False)
    except (DeliveryError, Delivery.DoesNotExist):
        Delivery.objects.filter(pk=delivery.pk).update(next_refresh_at=None)


def _delay_refresh(delivery: Delivery) -> bool:
    """Delay a delivery whose refresh failed, unless it was rescheduled; False when that cannot be stored either."""
    unmoved = Delivery.objects.filter(pk=delivery.pk, next_refresh_at=delivery.next_refresh_at)
    try:
        unmoved.update(next_refresh_at=database_now() + DELAY_AFTER_ERROR)
    except DatabaseError as err:
        defer_or_raise(err, f"delivery={delivery.pk}")
        return False
    return True


def _add_refresh(delivery: Delivery, *, at_once: bool) -> ApiCall:
    with locked_row(delivery) as locked:
        rules.check_refresh(locked)
        locked.next_refresh_at = status.next_refresh(locked)
        if at_once:
            attention.forget(locked, attention.OF_REFRESH)
        locked.save(update_fields=["next_refresh_at", "raised_reasons", "updated_at"])
        return calls.add_refresh(locked, at_once=at_once)


def _retry(call: ApiCall, now: datetime) -> None:
    if call.state in rules.RETRYABLE:
        calls.make_due(call, now)
    elif call.unknown_since is None:
        calls.restart(call, now)
    else:
        calls.send_again(
            call, now, strikes=MAX_FAILURES - 2 if call.kind == Kind.CANCEL else 0
        )  # a cancel: one POST more
