"""Act on a delivery: cancel, refresh, retry, link, acknowledge, mark as final."""

import logging
from datetime import timedelta

from django.db import DatabaseError, transaction

from kaspi_delivery_django.client.types import check_reason
from kaspi_delivery_django.exceptions import CannotCancel, DeliveryError
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services import clock, errors
from kaspi_delivery_django.services.db import (
    db_alias,
    defer_or_raise,
    is_transient,
    is_unavailable,
    lock_current,
    storable,
)
from kaspi_delivery_django.services.deliveries import attention, booking, calls, preflight, refreshing, rules, status
from kaspi_delivery_django.services.deliveries.calls import MAX_FAILURES
from kaspi_delivery_django.statuses import CANCELLED

logger = logging.getLogger(__name__)
State, Kind = ApiCall.State, ApiCall.Kind
BROKEN_PAUSE = timedelta(minutes=15)


def cancel_delivery(delivery: Delivery, *, reason: str = "") -> Delivery:
    """Cancel a delivery that the courier has not picked up; return it as it stands then.

    What was never sent is abandoned without a request; while the booking is under way the wish is
    kept until that is resolved. Asking twice asks Kaspi once. Raises `CannotCancel`, or
    `UsageError` for a reason that cannot be sent.
    """
    check_reason(reason)
    reason = storable(reason)
    with transaction.atomic(using=db_alias()):
        locked = lock_current(delivery)
        if locked.status == CANCELLED or rules.is_abandoned(locked):
            return locked
        rules.check_cancel(locked)
        locked.cancel_requested_at = locked.cancel_requested_at or clock.now()
        if not calls.calls_of(locked, Kind.CANCEL).filter(state__in=ApiCall.UNRESOLVED).exists():
            locked.cancel_reason = reason or locked.cancel_reason  # else another one is under way
        if locked.delivery_id:
            calls.add_cancel(locked)
        else:
            status.cancel_unsent(locked)
        attention.clear(locked, attention.OF_CANCELLING)
        status.save(locked, (*status.MIRROR_COLUMNS, "unwanted_since"))
    return locked


def cancel_for_shop(delivery: Delivery, *, reason: str) -> None:
    """Cancel what the adapter wants cancelled; what the courier has already is for staff."""
    try:
        cancel_delivery(delivery, reason=reason)
    except CannotCancel:
        with transaction.atomic(using=db_alias()):
            locked = lock_current(delivery)
            locked.cancel_requested_at = clock.now()
            attention.flag(locked, Attention.CANCEL_REFUSED)
            locked.save(update_fields=["cancel_requested_at", *attention.COLUMNS])


def refresh_delivery(delivery: Delivery) -> ApiCall:
    """Have Kaspi asked now how the delivery stands. Raises `CannotRefresh` before it has an id."""
    return _ask_kaspi(delivery, at_once=True)


def retry_delivery(delivery: Delivery, *, send_anyway: bool = False) -> Delivery:
    """Have what waits, for its turn or for a person, tried now; return the delivery as it stands then.

    A create that Kaspi may have booked goes again with its own key and bytes, and only while its
    key is surely known there. Before a first create is sent the adapter is asked again. `send_anyway` sends a delivery
    that waits because `wants_delivery` says no, as staff decide; `wants_cancel` still ends it. A delivery that its
    adapter failed on and does not want is deleted: the one that is returned has no primary key then. Raises
    `CannotRetry`.
    """
    with transaction.atomic(using=db_alias()):
        locked = lock_current(delivery)
        waiting = rules.check_retry(locked, clock.now())
        if send_anyway:
            rules.check_send(locked)
        if preflight.is_held(locked):
            preflight.release_for_staff(locked, send_anyway=send_anyway)
            return locked
        if not locked.external_order_id:
            return booking.retry_naming(locked)
        reasons = frozenset(Attention(call.reason) for call in waiting if call.reason)
        for call in waiting:
            _retry(call)
        attention.clear(locked, reasons)
        locked.save(update_fields=attention.COLUMNS)
    return locked


def link_delivery(delivery: Delivery, delivery_id: str) -> ApiCall:
    """Link a delivery that Kaspi has, by the id that somebody found there.

    Kaspi is asked first, and must name the delivery's own external order id. Raises `CannotLink`.
    """
    with transaction.atomic(using=db_alias()):
        locked = lock_current(delivery)
        rules.check_link(locked, delivery_id)
        return calls.add_link(locked, delivery_id)


def acknowledge_delivery(delivery: Delivery, *, confirmed_absent: bool = False) -> Delivery:
    """Take a delivery off the list that asks for a person: somebody has dealt with what it asks for.

    One that was not booked will not be any more. `confirmed_absent` says that somebody has looked:
    Kaspi has no delivery of this name. It stays on the list if another of its calls waits as well.
    Raises `CannotAcknowledge`.
    """
    with transaction.atomic(using=db_alias()):
        locked = lock_current(delivery)
        rules.check_acknowledge(locked, confirmed_absent=confirmed_absent)
        if locked.delivery_id:
            _dismiss(locked)
        else:
            booking.abandon(locked)
    return locked


def mark_final(delivery: Delivery) -> Delivery:
    """End a delivery whose status is new to us, when staff know that nothing more is to come.

    Kaspi is no longer asked about it, and its personal data is anonymized like that of every ended delivery.
    Another status of Kaspi's makes it live again. Raises `CannotMarkFinal`.
    """
    with transaction.atomic(using=db_alias()):
        locked = lock_current(delivery)
        rules.check_mark_final(locked)
        locked.final_at, locked.next_refresh_at = clock.now(), None
        for kind in (Kind.REFRESH, Kind.CANCEL):
            left = calls.calls_of(locked, kind).exclude(state__in=(State.SENDING, State.DONE))
            calls.finish(left, State.ABANDONED)
        attention.clear(locked, attention.OF_COURIER)
        status.save(locked, status.STATUS_COLUMNS)
    return locked


def refresh_stale(*, limit: int, using: str) -> int:
    """Have Kaspi asked about open deliveries that it has not spoken of for long."""
    silent = list(Delivery.objects.using(using).stale(clock.database_now(using))[:limit])
    return sum(_ask_alone(delivery, using) for delivery in silent)


def _ask_alone(delivery: Delivery, using: str) -> bool:
    """Ask about one delivery, or put it off when it breaks; raise only when the database is unavailable.

    Returns False when it is still due.
    """
    try:
        _ask_if_known(delivery, using)
    except Exception as err:  # noqa: BLE001  # sorted by what it means
        if is_unavailable(err) or is_transient(err):
            defer_or_raise(err, f"delivery={delivery.pk}")
            return False
        logger.error("not asked about: delivery=%s error=%s", delivery.pk, errors.describe(err))  # noqa: TRY400
        return _put_off(delivery, using)
    return True


def _ask_if_known(delivery: Delivery, using: str) -> None:
    try:
        _ask_kaspi(delivery, at_once=False)
    except (DeliveryError, Delivery.DoesNotExist):
        Delivery.objects.using(using).filter(pk=delivery.pk).update(next_refresh_at=None)


def _put_off(delivery: Delivery, using: str) -> bool:
    """Look at a broken row again later, unless somebody has planned it anew; False when not even that is stored."""
    unmoved = Delivery.objects.using(using).filter(pk=delivery.pk, next_refresh_at=delivery.next_refresh_at)
    try:
        unmoved.update(next_refresh_at=clock.database_now(using) + BROKEN_PAUSE)
    except DatabaseError as err:
        defer_or_raise(err, f"delivery={delivery.pk}")
        return False
    return True


def _ask_kaspi(delivery: Delivery, *, at_once: bool) -> ApiCall:
    with transaction.atomic(using=db_alias()):
        locked = lock_current(delivery)
        rules.check_refresh(locked)
        locked.next_refresh_at = refreshing.next_refresh(locked)
        if at_once:
            attention.forget(locked, attention.OF_ASKING)
        locked.save(update_fields=["next_refresh_at", "raised_reasons", "updated_at"])
        return calls.add_refresh(locked, at_once=at_once)


def _dismiss(delivery: Delivery) -> None:
    answered = ApiCall.objects.filter(delivery=delivery, reason=delivery.attention)
    calls.finish(answered.filter(state__in=(State.STUCK, State.REFUSED)), State.ABANDONED)
    attention.acknowledge(delivery)
    delivery.save(update_fields=attention.COLUMNS)


def _retry(call: ApiCall) -> None:
    if call.state in rules.RETRYABLE:
        calls.make_due(call)
    elif call.unknown_since is None:
        calls.release(call, clock.database_now(db_alias()))
    else:
        one_post_more = MAX_FAILURES - 2 if call.kind == Kind.CANCEL else 0
        calls.send_again(call, strikes=one_post_more)
