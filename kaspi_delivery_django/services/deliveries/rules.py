"""Rules for actions: which ones a delivery allows now, and why not.

No rule lets staff book a second parcel by accident: what Kaspi may have booked is sent again only
with its own key and bytes, or abandoned by staff who confirm that Kaspi does not have it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
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
    DeliveryError,
)
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services.deliveries import calls, preflight
from kaspi_delivery_django.statuses import CANCELLED, RANKS, status_label

State, Kind = ApiCall.State, ApiCall.Kind
RETRYABLE = (State.DUE, State.UNKNOWN)


def allowed_actions(delivery: Delivery, now: datetime) -> frozenset[str]:
    """Return the names of what can be done: cancel, refresh, retry, send, link, reissue, acknowledge, mark_final."""
    delivery.known_calls = _calls(delivery)  # type: ignore[attr-defined]  # each rule looks at them
    rules: dict[str, Callable[[], object]] = {
        "cancel": partial(_check_cancel_is_new, delivery),
        "refresh": partial(check_refresh, delivery),
        "retry": partial(check_retry, delivery, now),
        "send": partial(check_send, delivery),
        "link": partial(check_link, delivery),
        "reissue": partial(check_reissue, delivery, confirmed_absent=True),
        "acknowledge": partial(check_acknowledge, delivery, confirmed_absent=True),
        "mark_final": partial(check_mark_final, delivery),
    }
    return frozenset(name for name, rule in rules.items() if _allows(rule))


def is_abandoned(delivery: Delivery) -> bool:
    """Tell whether nothing is booked, and nothing will be: it was taken back, or given up."""
    return delivery.delivery_id is None and _newest_create(delivery).state == State.ABANDONED


def may_be_booked(delivery: Delivery) -> bool:
    """Tell whether Kaspi may have a parcel that we have no id of."""
    return delivery.delivery_id is None and _newest_create(delivery).unknown_since is not None


def is_unbooked(delivery: Delivery) -> bool:
    """Tell whether Kaspi surely has no parcel: nothing that could have booked one has left, or it was refused."""
    return delivery.delivery_id is None and _newest_create(delivery).unknown_since is None


def is_unread(delivery: Delivery) -> bool:
    """Tell whether the order is still to be read: what is sent was not built yet."""
    return delivery.delivery_id is None and not _newest_create(delivery).payload


def ends_cancel(delivery: Delivery) -> bool:
    """Tell whether acknowledging the delivery gives up a cancel that somebody asked for, and that may still go."""
    return any(
        call.kind == Kind.CANCEL and call.state == State.STUCK and call.reason == delivery.attention
        for call in _calls(delivery)
    )


def check_cancel(delivery: Delivery) -> None:
    """Raise `CannotCancel` for a parcel that the courier has, or that has ended. Kaspi decides about the others."""
    if not delivery.is_cancellable:
        label = status_label(delivery.status)
        raise CannotCancel(gettext("It cannot be cancelled any more: its status is %(status)s.") % {"status": label})


def check_refresh(delivery: Delivery) -> None:
    """Raise `CannotRefresh` when there is no id to ask for."""
    if not delivery.delivery_id:
        raise CannotRefresh(gettext("Kaspi cannot be asked: the delivery has no id yet."))


def check_retry(delivery: Delivery, now: datetime) -> Sequence[ApiCall]:
    """Return the calls that may be tried now; raise `CannotRetry` when there is none."""
    waiting = [call for call in _calls(delivery) if call.state in {*RETRYABLE, State.STUCK}]
    if delivery.delivery_id:
        waiting = [call for call in waiting if call.kind != Kind.CREATE]
    if not waiting:
        raise CannotRetry(gettext("Nothing waits to be tried. What Kaspi refused is to be booked anew."))
    hindrances = {call.pk: _blocked_reason(call, now) for call in waiting}
    safe = [call for call in waiting if not hindrances[call.pk]]
    if not safe:
        raise CannotRetry(hindrances[waiting[0].pk])
    return safe


def check_send(delivery: Delivery) -> None:
    """Raise `CannotRetry` unless the delivery waits because its adapter does not want it sent."""
    if not preflight.is_held(delivery):
        raise CannotRetry(gettext("The shop's adapter does not hold it back: there is nothing to overrule."))


def check_link(delivery: Delivery, delivery_id: str | None = None) -> None:
    """Raise `CannotLink` when the delivery cannot get this id, or any when none is given."""
    if delivery.delivery_id:
        raise CannotLink(
            gettext("It is linked to %(id)s already, and that never changes.") % {"id": delivery.delivery_id}
        )
    if not delivery.external_order_id:
        raise CannotLink(gettext("It has no external order id that Kaspi could confirm: mend the adapter, then retry."))
    if delivery_id is not None and not is_identifier(delivery_id):
        raise CannotLink(gettext("A delivery id has 1 to 128 printable ASCII characters."))


def check_reissue(delivery: Delivery, *, confirmed_absent: bool) -> None:
    """Raise `CannotReissue` while there is a parcel, or while there may be one."""
    if delivery.has_successor():
        raise CannotReissue(gettext("The order has a later delivery already."))
    if delivery.attention == Attention.SECOND_PARCEL:
        raise CannotReissue(gettext("Kaspi speaks of a second parcel: settle that first, and acknowledge it."))
    if delivery.is_live:
        raise CannotReissue(gettext("There is a parcel: only what was cancelled or never booked can be booked anew."))
    if delivery.status != CANCELLED:
        _check_abandonable(delivery, CannotReissue, confirmed_absent=confirmed_absent)


def check_acknowledge(delivery: Delivery, *, confirmed_absent: bool) -> None:
    """Raise `CannotAcknowledge` when nothing is asked, or when the question is still open."""
    if not delivery.attention:
        raise CannotAcknowledge(gettext("Nothing asks for a person."))
    if not delivery.delivery_id:
        _check_abandonable(delivery, CannotAcknowledge, confirmed_absent=confirmed_absent)


def check_mark_final(delivery: Delivery) -> None:
    """Raise `CannotMarkFinal` unless Kaspi has a status for it that is new to us, and that may have ended it."""
    if delivery.status in RANKS:
        raise CannotMarkFinal(gettext("Only a status that is new to this version can be marked as final."))
    if not delivery.is_open:
        raise CannotMarkFinal(gettext("It is final already."))


def _calls(delivery: Delivery) -> Sequence[ApiCall]:
    """Return a delivery's calls, the oldest first; read once where all of the rules are asked together."""
    known: Sequence[ApiCall] | None = getattr(delivery, "known_calls", None)
    if known is not None:
        return known
    return list(ApiCall.objects.filter(delivery=delivery).order_by("pk"))


def _newest_create(delivery: Delivery) -> ApiCall:
    return next(call for call in reversed(_calls(delivery)) if call.kind == Kind.CREATE)


def _check_cancel_is_new(delivery: Delivery) -> None:
    check_cancel(delivery)
    if is_abandoned(delivery):
        raise CannotCancel(gettext("Nothing was booked, and nothing will be."))


def _blocked_reason(call: ApiCall, now: datetime) -> str:
    """Say why a call may not go again: its key must surely be known at Kaspi if it may have acted."""
    if calls.is_changed(call):
        return gettext("Its stored request was changed: cancel again, or look it up at Kaspi, then link or rebook it.")
    if call.kind not in calls.ACTING or call.unknown_since is None:
        return ""
    expired = now >= call.unknown_since + calls.REPLAY_WINDOW
    if call.kind == Kind.CANCEL:
        return gettext("Its key is too old: cancel the delivery again.") if expired else ""
    if call.reason == Attention.KEY_REUSED:
        return gettext("Kaspi knows its key with another payload: look it up at Kaspi, then link it or book it anew.")
    if expired:
        return gettext("Its key is too old to be safe: look it up at Kaspi, then link it or book it anew.")
    return ""


def _check_abandonable(delivery: Delivery, error: type[DeliveryError], *, confirmed_absent: bool) -> None:
    create = _newest_create(delivery)
    if create.state in ApiCall.UNRESOLVED:
        raise error(gettext("Its booking is still tried by itself: wait until it asks for a person."))
    if any(call.kind == Kind.LINK and call.state in ApiCall.UNRESOLVED for call in _calls(delivery)):
        raise error(gettext("Kaspi is asked about an id that somebody named: wait for its answer."))
    if create.unknown_since is not None and not confirmed_absent:
        raise error(
            gettext("Kaspi may have booked it: look it up at Kaspi, then link it, or confirm that it is absent.")
        )


def _allows(rule: Callable[[], object]) -> bool:
    try:
        rule()
    except DeliveryError:
        return False
    return True
