"""What can be done about a delivery: cancel it, ask Kaspi about it, retry it, link it, acknowledge it."""

from django.db import transaction

from kaspi_delivery_django.client.types import check_text
from kaspi_delivery_django.exceptions import DeliveryError
from kaspi_delivery_django.lifecycle import CANCELLED
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services import attention, booking, calls, clock, exits, status
from kaspi_delivery_django.services.transactions import home, lock_again
from kaspi_delivery_django.services.verdicts import STRIKES

State, Kind = ApiCall.State, ApiCall.Kind


def cancel_delivery(delivery: Delivery, *, reason: str = "") -> Delivery:
    """Cancel a delivery that the courier has not picked up; return it as it stands then.

    What was never sent is abandoned without a request; while the booking is under way the wish is
    kept until that is resolved. Asking twice asks Kaspi once. Raises `CannotCancel`, or
    `UsageError` for a reason that cannot be sent.
    """
    check_text(reason, "the reason", required=False)
    with transaction.atomic(using=home()):
        locked = lock_again(delivery)
        if locked.status == CANCELLED or exits.is_given_up(locked):
            return locked
        exits.check_cancel(locked)
        locked.cancel_requested_at = locked.cancel_requested_at or clock.now()
        if not calls.calls_of(locked, Kind.CANCEL).filter(state__in=ApiCall.UNRESOLVED).exists():
            locked.cancel_reason = reason or locked.cancel_reason  # else another one is under way
        if locked.delivery_id:
            calls.add_cancel(locked)
        elif calls.finish(calls.never_sent(locked), State.ABANDONED):
            attention.clear(locked, attention.OF_BOOKING)
        attention.clear(locked, attention.OF_CANCELLING)
        status.save(locked)
    return locked


def refresh_delivery(delivery: Delivery) -> ApiCall:
    """Have Kaspi asked now how the delivery stands. Raises `CannotRefresh` before it has an id."""
    return _ask_kaspi(delivery, at_once=True)


def retry_delivery(delivery: Delivery) -> Delivery:
    """Have what waits, for its turn or for a person, tried now; return the delivery as it stands then.

    A create that Kaspi may have booked goes again with its own key and bytes, and only while its
    key is surely known there. Raises `CannotRetry`.
    """
    with transaction.atomic(using=home()):
        locked = lock_again(delivery)
        waiting = exits.check_retry(locked, clock.now())
        if not locked.external_order_id:
            return booking.name_again(locked)
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
    with transaction.atomic(using=home()):
        locked = lock_again(delivery)
        exits.check_link(locked, delivery_id)
        return calls.add_link(locked, delivery_id)


def acknowledge_delivery(delivery: Delivery, *, confirmed_absent: bool = False) -> Delivery:
    """Take a delivery off the list that asks for a person: somebody has dealt with what it asks for.

    One that was not booked will not be any more. `confirmed_absent` says that somebody has looked:
    Kaspi has no delivery of this name. It stays on the list if another of its calls waits as well.
    Raises `CannotAcknowledge`.
    """
    with transaction.atomic(using=home()):
        locked = lock_again(delivery)
        exits.check_acknowledge(locked, confirmed_absent=confirmed_absent)
        if locked.delivery_id:
            _dismiss(locked)
        else:
            booking.give_up(locked)
    return locked


def refresh_stale(*, limit: int, using: str) -> int:
    """Have Kaspi asked about open deliveries that it has not spoken of for long."""
    silent = list(Delivery.objects.using(using).stale(clock.now())[:limit])
    for delivery in silent:
        try:
            _ask_kaspi(delivery, at_once=False)
        except (DeliveryError, Delivery.DoesNotExist):
            Delivery.objects.using(using).filter(pk=delivery.pk).update(next_refresh_at=None)
    return len(silent)


def _ask_kaspi(delivery: Delivery, *, at_once: bool) -> ApiCall:
    with transaction.atomic(using=home()):
        locked = lock_again(delivery)
        exits.check_refresh(locked)
        locked.next_refresh_at = status.next_refresh(locked)
        locked.save(update_fields=["next_refresh_at", "updated_at"])
        return calls.add_refresh(locked, at_once=at_once)


def _dismiss(delivery: Delivery) -> None:
    answered = ApiCall.objects.filter(delivery=delivery, reason=delivery.attention)
    calls.finish(answered.filter(state__in=(State.STUCK, State.REFUSED)), State.ABANDONED)
    attention.clear(delivery, frozenset({Attention(delivery.attention)}))
    delivery.save(update_fields=attention.COLUMNS)


def _retry(call: ApiCall) -> None:
    if call.state in exits.WAITING:
        calls.hurry(call)
    elif call.unknown_since is None:
        calls.release(call, clock.now())
    else:
        one_post_more = STRIKES - 2 if call.kind == Kind.CANCEL else 0
        calls.send_again(call, strikes=one_post_more)
