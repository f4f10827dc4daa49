"""Rules for actions: which ones a delivery allows now, and why not.

No rule lets staff book a second parcel by accident: a booking that Kaspi may have made is sent again only
with its own key and bytes, or abandoned by staff who confirm that Kaspi does not have it.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum, auto
from functools import partial

from django.utils.translation import gettext

from kaspi_delivery_django.client.types import is_identifier
from kaspi_delivery_django.exceptions import (
    CannotAcknowledge,
    CannotCancel,
    CannotLink,
    CannotMarkFinal,
    CannotRefresh,
    CannotReissue,
    CannotRetry,
    CannotReturn,
    DeliveryError,
)
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.statuses import CANCELLED, DELIVERED, PICKED_UP, RANKS, status_label

State, Kind = ApiCall.State, ApiCall.Kind
RETRYABLE = (State.DUE, State.UNKNOWN)


class Effect(Enum):
    """What an action does about a row that allows it."""

    CANCEL_SENT = auto()
    CANCEL_PENDING = auto()  # requested before: no second request
    CANCEL_LATER = auto()  # once Kaspi's answer to the booking is known
    CANCEL_UNSENT = auto()  # Kaspi has not booked it: no request
    REFRESH_SENT = auto()
    RETRY_SENT = auto()
    FIRST_SENT = auto()  # the order is read as it is then
    ADAPTER_DECIDES = auto()
    RETURN_BOOKED = auto()
    EVENT_APPLIED = auto()
    EVENT_CLOSED = auto()


PERMISSIONS = {
    "book": "reissue_delivery",
    "cancel": "cancel_delivery",
    "refresh": "retry_delivery",
    "retry": "retry_delivery",
    "send": "retry_delivery",
    "send_early": "retry_delivery",
    "link": "retry_delivery",
    "reissue": "reissue_delivery",
    "return": "return_delivery",
    "acknowledge": "retry_delivery",
    "mark_final": "retry_delivery",
}


def permission_for(action: str, delivery: Delivery) -> str:
    """Return the permission for an action: to abandon a booking is to rebook, to abandon a cancel is to cancel.

    To book a return again is to book a return.
    """
    if action == "reissue" and delivery.is_return:
        return PERMISSIONS["return"]
    if action == "acknowledge" and may_be_booked(delivery):
        return PERMISSIONS["reissue"]
    if action == "acknowledge" and ends_cancel(delivery):
        return PERMISSIONS["cancel"]
    return PERMISSIONS[action]


def allowed_actions(delivery: Delivery, now: datetime) -> frozenset[str]:
    """Return the names of the allowed actions, which `refusals` lists."""
    return frozenset(name for name, reason in refusals(delivery, now).items() if not reason)


def refusals(delivery: Delivery, now: datetime) -> dict[str, str]:
    """Return why each action is refused now, by its name; an empty reason for an allowed one."""
    delivery.known_calls = calls_of(delivery)  # type: ignore[attr-defined]  # each rule reads them
    rules: dict[str, Callable[[], object]] = {
        "cancel": partial(_check_cancel_is_new, delivery),
        "refresh": partial(check_refresh, delivery),
        "retry": partial(check_retry, delivery, now),
        "send": partial(check_send, delivery),
        "send_early": partial(check_send_early, delivery),
        "link": partial(check_link, delivery),
        "reissue": partial(check_reissue, delivery, confirmed_absent=True),
        "return": partial(check_return, delivery),
        "acknowledge": partial(check_acknowledge, delivery, confirmed_absent=True),
        "mark_final": partial(check_mark_final, delivery),
    }
    return {name: _refusal(rule) for name, rule in rules.items()}


def read_calls(deliveries: Sequence[Delivery]) -> None:
    """Read the calls of these deliveries in one query: the rules use them until the deliveries are read again."""
    calls = ApiCall.objects.filter(delivery__in=[delivery.pk for delivery in deliveries])
    by_delivery = defaultdict(list)
    for call in calls.order_by("pk"):
        by_delivery[call.delivery_id].append(call)
    for delivery in deliveries:
        delivery.known_calls = by_delivery[delivery.pk]  # type: ignore[attr-defined]  # as in `allowed_actions`


def effect_of_cancel(delivery: Delivery) -> Effect:
    """Return what a cancel would do now. Raises `CannotCancel`."""
    _check_cancel_is_new(delivery)
    if delivery.delivery_id:
        cancels = [call for call in calls_of(delivery) if call.kind == Kind.CANCEL]
        is_pending = bool(cancels) and cancels[-1].state in ApiCall.UNRESOLVED
        return Effect.CANCEL_PENDING if is_pending else Effect.CANCEL_SENT
    return Effect.CANCEL_UNSENT if _newest_create(delivery).is_never_sent else Effect.CANCEL_LATER


def effect_of_retry(delivery: Delivery, now: datetime) -> Effect:
    """Return what a retry would do now. Raises `CannotRetry`."""
    check_retry(delivery, now)
    if delivery.is_held or not delivery.external_order_id:
        return Effect.ADAPTER_DECIDES
    return Effect.FIRST_SENT if is_unread(delivery) else Effect.RETRY_SENT


def is_abandoned(delivery: Delivery) -> bool:
    """Return whether the delivery is not booked and will not be: its booking was cancelled or abandoned."""
    create = next((call for call in reversed(calls_of(delivery)) if call.kind == Kind.CREATE), None)
    return delivery.delivery_id is None and create is not None and create.state == State.ABANDONED


def may_be_booked(delivery: Delivery) -> bool:
    """Return whether Kaspi may have a delivery whose id we do not know."""
    return delivery.delivery_id is None and _newest_create(delivery).unknown_since is not None


def is_unbooked(delivery: Delivery) -> bool:
    """Return whether Kaspi surely has no delivery: no create was sent, or it was refused."""
    return delivery.delivery_id is None and _newest_create(delivery).unknown_since is None


def is_unread(delivery: Delivery) -> bool:
    """Return whether the order is still to be read: the create's payload was not built yet."""
    return delivery.delivery_id is None and not _newest_create(delivery).payload


def ends_cancel(delivery: Delivery) -> bool:
    """Return whether acknowledging the delivery abandons a requested cancel that could still be sent."""
    return any(
        call.kind == Kind.CANCEL and call.state == State.STUCK and call.reason == delivery.attention
        for call in calls_of(delivery)
    )


def check_cancel(delivery: Delivery) -> None:
    """Raise `CannotCancel` for a delivery that is picked up or has ended. Kaspi decides about the others."""
    if not delivery.is_cancellable:
        label = status_label(delivery.status)
        raise CannotCancel(gettext("It can no longer be cancelled: its status is %(status)s.") % {"status": label})


def check_refresh(delivery: Delivery) -> None:
    """Raise `CannotRefresh` when Kaspi has given no id yet."""
    if not delivery.delivery_id:
        raise CannotRefresh(gettext("It cannot be refreshed: Kaspi has given it no id yet."))


def check_retry(delivery: Delivery, now: datetime) -> Sequence[ApiCall]:
    """Return the calls that may be sent now; raise `CannotRetry` when there is none."""
    if delivery.is_postponed:
        raise CannotRetry(gettext('The shop wants it to be booked later: "Send now" books it at once.'))
    waiting = [call for call in calls_of(delivery) if call.state in {*RETRYABLE, State.STUCK}]
    if delivery.delivery_id:
        waiting = [call for call in waiting if call.kind != Kind.CREATE]
    if not waiting:
        raise CannotRetry(gettext('There is nothing to retry. To resend a refused booking, use "Rebook".'))
    reasons = {call.pk: _blocked_reason(call, now) for call in waiting}
    safe = [call for call in waiting if not reasons[call.pk]]
    if not safe:
        raise CannotRetry(reasons[waiting[0].pk])
    return safe


def check_send(delivery: Delivery) -> None:
    """Raise `CannotRetry` unless the adapter holds the delivery back."""
    if not delivery.is_held:
        raise CannotRetry(gettext("The shop's adapter does not hold it back: there is nothing to overrule."))


def check_send_early(delivery: Delivery) -> None:
    """Raise `CannotRetry` unless the adapter postpones the delivery."""
    if not delivery.is_postponed:
        raise CannotRetry(gettext("It does not wait for its time: look at it again."))


def check_link(delivery: Delivery, delivery_id: str | None = None) -> None:
    """Raise `CannotLink` when the delivery cannot get this id, or any id if none is given."""
    if delivery.delivery_id:
        raise CannotLink(
            gettext("It is linked to %(id)s already, and that never changes.") % {"id": delivery.delivery_id}
        )
    if not delivery.external_order_id:
        raise CannotLink(gettext("It has no external order id that Kaspi could confirm: fix the adapter, then retry."))
    if delivery_id is not None and not is_identifier(delivery_id):
        raise CannotLink(gettext("A delivery id has 1 to 128 printable ASCII characters."))


def check_reissue(delivery: Delivery, *, confirmed_absent: bool) -> None:
    """Raise `CannotReissue` while Kaspi has, or may have, a delivery."""
    if delivery.has_successor():
        raise CannotReissue(gettext("The order has a later delivery already."))
    if delivery.attention == Attention.SECOND_PARCEL:
        raise CannotReissue(gettext("Kaspi reports a second delivery: resolve that first, and acknowledge it."))
    if delivery.is_live:
        raise CannotReissue(gettext("It is booked: only a cancelled or unbooked delivery can be rebooked."))
    if delivery.status != CANCELLED:
        _check_abandonable(delivery, CannotReissue, confirmed_absent=confirmed_absent)


def check_return(delivery: Delivery) -> None:
    """Raise `CannotReturn` unless the customer has the parcel and no return of it was booked.

    The courier of a return rings at the customer's door. A cancelled parcel never left the shop, and one that is under
    way is with another courier. With a final status that this version does not know, a parcel that was picked up may
    be with the customer: the shop knows.
    """
    if delivery.is_return:
        raise CannotReturn(gettext("It is a return itself."))
    if delivery.status == CANCELLED or (delivery.is_open and delivery.is_before_pickup):
        raise CannotReturn(gettext("The customer does not have the parcel: there is nothing to return."))
    if delivery.status != DELIVERED and delivery.is_open:
        raise CannotReturn(gettext("It has not arrived yet: a return can be booked once the customer has the parcel."))
    if delivery.status != DELIVERED and not _was_picked_up(delivery):
        raise CannotReturn(gettext("It ended without having been picked up: there is nothing to return."))
    if delivery.has_return():
        raise CannotReturn(gettext("Its return is booked already; a cancelled or refused one can be rebooked there."))


def check_acknowledge(delivery: Delivery, *, confirmed_absent: bool) -> None:
    """Raise `CannotAcknowledge` when the delivery has no flag, or may still be booked."""
    if not delivery.attention:
        raise CannotAcknowledge(gettext("It needs no manual review."))
    if not delivery.delivery_id:
        _check_abandonable(delivery, CannotAcknowledge, confirmed_absent=confirmed_absent)


def check_mark_final(delivery: Delivery) -> None:
    """Raise `CannotMarkFinal` unless the status is unknown to this version and not final."""
    if delivery.status in RANKS:
        raise CannotMarkFinal(gettext("Only a status that is new to this version can be marked as final."))
    if not delivery.is_open:
        raise CannotMarkFinal(gettext("It is final already."))


def calls_of(delivery: Delivery) -> Sequence[ApiCall]:
    """Return a delivery's calls, the oldest first: those that `read_calls` or `allowed_actions` has read, if any."""
    known: Sequence[ApiCall] | None = getattr(delivery, "known_calls", None)
    return list(ApiCall.objects.filter(delivery=delivery).order_by("pk")) if known is None else known


def _was_picked_up(delivery: Delivery) -> bool:
    return any(change.to_status in PICKED_UP for change in delivery.history.all())  # which a list has prefetched


def _newest_create(delivery: Delivery) -> ApiCall:
    return next(call for call in reversed(calls_of(delivery)) if call.kind == Kind.CREATE)


def _check_cancel_is_new(delivery: Delivery) -> None:
    check_cancel(delivery)
    if is_abandoned(delivery):
        raise CannotCancel(gettext("It is not booked, and will not be."))


def _blocked_reason(call: ApiCall, now: datetime) -> str:
    """Return why a call may not be sent again; if Kaspi may have acted on it, Kaspi must still know its key."""
    if call.is_changed:
        return gettext("Its stored request was changed: cancel again, or look it up at Kaspi, then link or rebook it.")
    if call.kind == Kind.CANCEL:
        return gettext("Its key is too old: cancel the delivery again.") if call.is_key_expired(now) else ""
    if call.kind != Kind.CREATE or call.unknown_since is None:
        return ""
    if call.reason == Attention.KEY_REUSED:
        return gettext("Kaspi knows its key with another payload: look it up at Kaspi, then link or rebook it.")
    if call.is_key_expired(now):
        return gettext("Its key is too old to be safe: look it up at Kaspi, then link or rebook it.")
    return ""


def _check_abandonable(delivery: Delivery, error: type[DeliveryError], *, confirmed_absent: bool) -> None:
    create = _newest_create(delivery)
    if create.state in ApiCall.UNRESOLVED:
        raise error(gettext("Its booking is still retried automatically: wait until it needs manual review."))
    if any(call.kind == Kind.LINK and call.state in ApiCall.UNRESOLVED for call in calls_of(delivery)):
        raise error(gettext("Kaspi is checking a delivery id that staff entered: wait for the answer."))
    if create.unknown_since is not None and not confirmed_absent:
        raise error(
            gettext("Kaspi may have booked it: look it up at Kaspi, then link it, or confirm that it is absent.")
        )


def _refusal(rule: Callable[[], object]) -> str:
    try:
        rule()
    except DeliveryError as err:
        return str(err)
    return ""
