"""Decide whether a claimed call may be sent: by its age, its account and its key, and by the adapter, asked again.

A delivery that is not wanted is neither sent nor abandoned: it waits for a save that wants it, and is flagged
after `WAIT_BEFORE_FLAG`. One that is wanted later is postponed, and the adapter is asked again then.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from functools import partial

from django.db import IntegrityError, models
from django.db.models import Q
from django.utils.translation import gettext, gettext_lazy

from kaspi_delivery_django import conf
from kaspi_delivery_django.conf import Account
from kaspi_delivery_django.exceptions import CannotRetry, DeliveryError
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import atomic
from kaspi_delivery_django.services.deliveries import attention, calls, identities, payloads, status
from kaspi_delivery_django.services.deliveries.identities import Identity, OrderRef
from kaspi_delivery_django.services.deliveries.payloads import Wish
from kaspi_delivery_django.services.errors import AdapterFailed, translated
from kaspi_delivery_django.services.locks import lock, locked_row

State, Kind = ApiCall.State, ApiCall.Kind
WAIT_BEFORE_FLAG = timedelta(minutes=15)
ADAPTER_FAILED = gettext_lazy("The shop's adapter failed: %(error)s.")
WAITING = ("unwanted_since", "not_before")
CANCELLED_COLUMNS = (*status.MIRROR_COLUMNS, "unwanted_since")
HELD_COLUMNS = (*WAITING, "send_anyway_at", "send_early_at", *attention.COLUMNS)
OF_ADAPTER_FAILED = frozenset({Attention.ADAPTER_FAILED})
OF_NOT_WANTED = frozenset({Attention.NOT_WANTED})


def may_send(
    call: ApiCall, delivery: Delivery, account: Account | None, now: datetime, order: models.Model | None
) -> bool:
    """Return whether a due call may be sent; record why not. `order` is the shop's, if it was read before."""
    if _is_obsolete(call, delivery):
        return False
    if is_first_create(call) and delivery.cancel_requested_at and status.cancel_unsent(delivery):
        status.save(delivery, CANCELLED_COLUMNS)  # requested while a sender had the call, and released it unsent
        return False
    blocked = Attention.PAYLOAD_CHANGED if call.is_changed else _blocked_reason(call, delivery, account, now)
    if blocked is not None:
        stop(call, delivery, blocked)
        return False
    if is_first_create(call) and not _build(call, delivery, order, now):
        return False
    if call.kind == Kind.REFRESH:
        payloads.flag_edits(delivery)
    return True


def stop(call: ApiCall, delivery: Delivery, reason: Attention, error: str = "") -> None:
    """Stop a call of a locked delivery, and flag the delivery. Saves both."""
    calls.mark_stuck(call, reason, clock.now_of(delivery), error)
    attention.flag(delivery, reason)
    if call.kind == Kind.REFRESH:
        delivery.next_refresh_at = None
    delivery.save(update_fields=["next_refresh_at", *attention.COLUMNS])


def is_first_create(call: ApiCall) -> bool:
    return call.kind == Kind.CREATE and call.unknown_since is None


def _ask_adapter(call: ApiCall, delivery: Delivery, order: models.Model | None, now: datetime) -> bool:
    """Ask the adapter about a locked delivery's first create; build its payload if it may be sent.

    A deleted order, or one that the adapter wants cancelled, cancels the delivery; one not wanted, or not yet, waits.
    A delivery that moved to another account is left to that account's next claim. Raises `AdapterFailed`.
    """
    account = delivery.account
    try:
        wish = _prepare(call, delivery, order, now)
    except models.ObjectDoesNotExist:
        status.cancel_unsent(delivery, notifies=False)  # the shop has no order that the signal could be about
        status.save(delivery, CANCELLED_COLUMNS)
        return False
    if wish is Wish.CANCEL:
        _cancel(delivery, order or payloads.order_of(delivery), now)
    elif wish is Wish.WAIT:
        hold(call, delivery, now)
    elif wish is Wish.LATER:
        _postpone(call, delivery, now)
    elif delivery.unwanted_since or delivery.not_before:
        _clear_wait(call, delivery)
    return wish is Wish.SEND and delivery.account == account


def move(delivery: Delivery, own: Identity) -> bool:
    """Give a locked, unsent delivery the account and the name that its order has now.

    Returns False, and changes nothing, if it was sent. Raises `AdapterFailed` if another order has the name.
    """
    try:
        with atomic():
            is_unsent = bool(calls.rename_unsent(delivery, own.external_order_id))
            if is_unsent:
                _rename(delivery, own)
    except IntegrityError as err:
        raise AdapterFailed(calls.NAME_TAKEN) from err
    return is_unsent


def hold(call: ApiCall, delivery: Delivery, now: datetime) -> None:
    """Postpone a create that is not wanted; after WAIT_BEFORE_FLAG stop and flag it. Saves both."""
    since = delivery.unwanted_since = delivery.unwanted_since or now
    delivery.not_before = None
    if now >= since + WAIT_BEFORE_FLAG:
        calls.mark_stuck(call, Attention.NOT_WANTED, now)
        attention.flag(delivery, Attention.NOT_WANTED)
    else:
        calls.postpone(call, since + WAIT_BEFORE_FLAG, Attention.NOT_WANTED, now)
    delivery.save(update_fields=HELD_COLUMNS)


def release(delivery: Delivery) -> Delivery:
    """Let a waiting delivery ask its adapter at once: a save of its order wants it. Return it as it is then."""
    with locked_row(delivery) as locked:
        if locked.is_held or locked.is_postponed:
            _release(locked)
    return locked


def release_for_staff(delivery: Delivery, *, send_anyway: bool) -> None:
    """Release a locked, waiting delivery: a postponed one, or a held one that the adapter wants now.

    With `send_anyway` staff overrule `wants_delivery`; never `wants_cancel`. Raises `CannotRetry` if the adapter
    still does not want it.
    """
    if delivery.is_postponed:
        delivery.send_early_at = clock.now_of(delivery)
    elif send_anyway:
        delivery.send_anyway_at = clock.now_of(delivery)
    elif not _is_wanted(delivery):
        raise CannotRetry(
            gettext("The shop's adapter does not want it sent: send it all the same, cancel it, or save the order.")
        )
    _release(delivery)


def note_refusal(delivery: Delivery) -> None:
    """Clear a failure of the adapter, which answers now, and does not want the order shipped.

    A delivery without a name was never known to be wanted, and is deleted: a save that wants it adds another.
    """
    with atomic():
        locked = lock(id=delivery.pk)
        if locked is None or locked.attention != Attention.ADAPTER_FAILED:
            return
        if not locked.external_order_id:
            locked.delete()
            return
        for call in ApiCall.objects.never_sent(locked).filter(state=State.STUCK, reason=Attention.ADAPTER_FAILED):
            hold(call, locked, clock.now_of(locked))
        attention.clear(locked, OF_ADAPTER_FAILED)
        locked.save(update_fields=attention.COLUMNS)


def retry_failed(delivery: Delivery, identity: Identity) -> Delivery:
    """Restart the create that the adapter failed on, under the order's identity now. Raises `AdapterFailed`."""
    own = identities.within(identity, delivery)
    try:
        with locked_row(delivery) as locked:
            never_sent = ApiCall.objects.never_sent(locked)
            if never_sent.filter(payload="").exists():
                _rename(locked, own)
            for call in never_sent.filter(state=State.STUCK):
                call.idempotency_key = call.idempotency_key if call.payload else ""
                calls.restart(call, clock.now_of(locked))
            attention.clear(locked, OF_ADAPTER_FAILED)
            locked.save(update_fields=attention.COLUMNS)
    except IntegrityError as err:
        raise AdapterFailed(calls.NAME_TAKEN) from err
    return locked


def retry_naming(delivery: Delivery) -> Delivery:
    """Ask the adapter again, which failed before the delivery had a name; delete one that is not wanted.

    Raises `CannotRetry`.
    """
    with refused_as(CannotRetry, gone=gettext("The order is gone: acknowledge it.")):
        order = payloads.order_of(delivery)
        adapter = identities.adapter_of(order)
        if payloads.wish_for(adapter, order) is not Wish.SEND:
            delivery.delete()
            return delivery
        return retry_failed(delivery, identities.identity_of(adapter, order))


@contextmanager
def refused_as(error: type[DeliveryError], *, gone: str = "") -> Iterator[None]:
    """Raise this error where the adapter fails; with the text `gone`, if it is given, for an order that is deleted."""
    missing = (models.ObjectDoesNotExist,) if gone else ()
    try:
        yield
    except missing as err:
        raise error(gone) from err
    except AdapterFailed as err:
        raise error(ADAPTER_FAILED % {"error": translated(str(err))}) from err


def _is_obsolete(call: ApiCall, delivery: Delivery) -> bool:
    """Finish a call that has nothing left to do. Return whether it has not."""
    booked = call.kind in (Kind.CREATE, Kind.LINK) and delivery.delivery_id is not None
    ended = call.kind == Kind.CANCEL and not delivery.is_open
    if booked or ended:
        ApiCall.objects.filter(pk=call.pk).finish(State.DONE, clock.now_of(delivery))
    return booked or ended


def _blocked_reason(call: ApiCall, delivery: Delivery, account: Account | None, now: datetime) -> Attention | None:
    """Return why staff must decide before this call is sent; None when it may be sent."""
    if account is None or account.environment != delivery.environment:
        return Attention.CONFIGURATION_CHANGED
    if call.kind == Kind.CANCEL:
        return Attention.CANCEL_UNKNOWN if call.is_key_expired(now) else None
    return _why_not_book(call, delivery, account, now) if call.kind == Kind.CREATE else None


def _why_not_book(call: ApiCall, delivery: Delivery, account: Account, now: datetime) -> Attention | None:
    if call.is_key_expired(now):
        return Attention.OUTCOME_UNKNOWN
    if delivery.has_live_predecessor():
        return Attention.SECOND_PARCEL
    if call.unknown_since is None:
        return Attention.TOO_OLD if now >= call.queued_at + conf.current().max_dispatch_age else None
    sent_with = (call.api_key_fingerprint, call.base_url)
    same = sent_with == (account.api_key_fingerprint, account.base_url)
    return None if same else Attention.CONFIGURATION_CHANGED


def _build(call: ApiCall, delivery: Delivery, order: models.Model | None, now: datetime) -> bool:
    """Ask the adapter whether the order is still wanted, and build the payload."""
    try:
        return _ask_adapter(call, delivery, order, now)
    except AdapterFailed as err:
        stop(call, delivery, Attention.ADAPTER_FAILED, str(err))
        return False


def _prepare(call: ApiCall, delivery: Delivery, order: models.Model | None, now: datetime) -> Wish:
    """Ask the adapter what it wants; before a send take over the order's name and account, and build the payload.

    Raises `ObjectDoesNotExist` when the order is deleted, and `AdapterFailed`.
    """
    is_read_and_frozen = order is not None and call.payload  # then nothing is left that needs a savepoint
    with nullcontext() if is_read_and_frozen else atomic():
        order = order or payloads.order_of(delivery)
        wish = payloads.current_wish(delivery, order)
        if wish is Wish.SEND and (later := payloads.postponed_until(delivery, order, now)):
            delivery.not_before, wish = later, Wish.LATER
        if wish is Wish.SEND and _take_over_identity(call, delivery, order) and not call.payload:
            with atomic() if is_read_and_frozen else nullcontext():
                payloads.build(call, delivery, order)
    return wish


def _take_over_identity(call: ApiCall, delivery: Delivery, order: models.Model) -> bool:
    """Take over a name or an account that the order got without a save. Return whether the account is the same.

    The first delivery of an order that goes in several parcels becomes that of the first; the others are added.
    A return keeps those of the delivery that it brings back.
    """
    if delivery.is_return:
        return True
    account, adapter = delivery.account, identities.adapter_of(order)
    parcels = _parcels_to_split(call, delivery, adapter, order)
    identity = identities.identity_as(adapter, OrderRef(order, delivery.object_id))
    own = identities.within(identity, delivery)
    own = identities.for_parcel(own, parcels[0]) if parcels else own
    if identities.is_same(delivery, own) or not move(delivery, own):
        return True
    for key in parcels[1:]:
        calls.open_delivery(adapter, identities.for_parcel(identity, key), partial(_add_like, delivery))
    call.idempotency_key = calls.idempotency_key(own.external_order_id, Kind.CREATE)
    call.payload = call.payload_sha256 = ""
    return delivery.account == account


def _add_like(first: Delivery, delivery: Delivery) -> None:
    """Add the create of another parcel; what staff decided about the first holds for it too."""
    if first.send_anyway_at or first.send_early_at:
        delivery.send_anyway_at, delivery.send_early_at = first.send_anyway_at, first.send_early_at
        delivery.save(update_fields=["send_anyway_at", "send_early_at", "updated_at"])
    calls.add_create(delivery)


def _parcels_to_split(call: ApiCall, delivery: Delivery, adapter: AnyAdapter, order: models.Model) -> list[str]:
    """Return the keys of the parcels that an order's first, unbuilt delivery becomes; none if it stays as it is."""
    is_whole = delivery.generation == 1 and not (delivery.parcel or call.payload)
    return list(payloads.parcels_of(adapter, order)) if is_whole else []


def _rename(delivery: Delivery, own: Identity) -> None:
    columns = own.columns()
    for name, value in columns.items():
        setattr(delivery, name, value)
    delivery.save(update_fields=[*columns, "updated_at"])


def _is_wanted(delivery: Delivery) -> bool:
    with refused_as(CannotRetry, gone=gettext("The order is gone: cancel it.")), atomic():
        return payloads.current_wish(delivery, payloads.order_of(delivery)) is Wish.SEND


def _release(delivery: Delivery) -> None:
    delivery.unwanted_since = delivery.not_before = None
    for call in ApiCall.objects.never_sent(delivery).filter(Q(reason=Attention.NOT_WANTED) | Q(state=State.DUE)):
        calls.restart(call, clock.now_of(delivery))
    attention.clear(delivery, OF_NOT_WANTED)
    delivery.save(update_fields=HELD_COLUMNS)


def _postpone(call: ApiCall, delivery: Delivery, now: datetime) -> None:
    """Make a create due, and let it begin to age, at the time from which its adapter wants it."""
    calls.postpone(call, delivery.not_before or now, "", now, queued_at=delivery.not_before)
    delivery.unwanted_since = None
    delivery.save(update_fields=[*WAITING, "updated_at"])


def _clear_wait(call: ApiCall, delivery: Delivery) -> None:
    """Let a delivery go that its adapter wants now, though no save has released it."""
    call.reason, delivery.unwanted_since, delivery.not_before = "", None, None
    call.save(update_fields=["reason", "updated_at"])
    delivery.save(update_fields=[*WAITING, "updated_at"])


def _cancel(delivery: Delivery, order: models.Model, now: datetime) -> None:
    delivery.cancel_requested_at = delivery.cancel_requested_at or now
    delivery.cancel_reason = delivery.cancel_reason or payloads.cancel_reason_of(order)
    status.cancel_unsent(delivery)
    status.save(delivery, CANCELLED_COLUMNS)
