"""Ask the shop's latest word right before a create is sent, and hold back what its adapter does not want sent.

A no neither sends nor abandons: the delivery waits for a save that answers yes. After `PATIENCE` staff are asked, once.
"""

from contextlib import nullcontext
from datetime import datetime, timedelta

from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext

from kaspi_delivery_django.exceptions import CannotRetry
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import db_alias, lock, lock_current
from kaspi_delivery_django.services.deliveries import attention, calls, identities, payloads, status
from kaspi_delivery_django.services.deliveries.identities import Identity, Subject
from kaspi_delivery_django.services.deliveries.payloads import Wish
from kaspi_delivery_django.services.errors import AdapterFailed

State = ApiCall.State
WAIT_BEFORE_FLAG = timedelta(minutes=15)
NAME_TAKEN = "another order has this external_order_id already"
HELD = ("unwanted_since", "send_anyway_at", *attention.COLUMNS)


def may_send(call: ApiCall, delivery: Delivery, order: models.Model | None, now: datetime) -> bool:
    """Ask the adapter about a locked delivery's first create; build its payload when it may go.

    An order that is gone, or that the adapter wants cancelled, ends it as cancelled; one that is not wanted waits.
    One that another account is to ship by now is left to that account's turn. Raises `AdapterFailed`.
    """
    account = delivery.account
    try:
        word = _prepare(call, delivery, order)
    except models.ObjectDoesNotExist:
        status.cancel_unsent(delivery, is_announced=False)  # the shop has no order left that it could be about
        status.save(delivery, (*status.STATUS_COLUMNS, "unwanted_since"))
        return False
    if word is Wish.CANCEL:
        _cancel(delivery, order or payloads.order_of(delivery), now)
    elif word is Wish.WAIT:
        hold(call, delivery, now)
    elif delivery.unwanted_since is not None:
        _let_go(call, delivery)
    return word is Wish.SEND and delivery.account == account


def move(delivery: Delivery, own: Identity) -> bool:
    """Give a locked delivery of which nothing was sent the account and the name that its order has now.

    Returns False when something was sent: then it keeps both. Raises `AdapterFailed` for another order's name.
    """
    try:
        with transaction.atomic(using=db_alias()):
            is_unsent = bool(calls.rename_unsent(delivery, own.external_order_id or ""))
            if is_unsent:
                rename(delivery, own)
    except IntegrityError as err:
        raise AdapterFailed(NAME_TAKEN) from err
    return is_unsent


def rename(delivery: Delivery, own: Identity) -> None:
    """Write under which account, environment and name a locked delivery goes that Kaspi never heard of."""
    delivery.account, delivery.environment = own.account, own.environment
    delivery.external_order_id = own.external_order_id
    delivery.save(update_fields=["account", "environment", "external_order_id", "updated_at"])


def hold(call: ApiCall, delivery: Delivery, now: datetime) -> None:
    """Have a create that the adapter does not want sent wait, at first by itself, then for staff. Saves both."""
    since = delivery.unwanted_since = delivery.unwanted_since or now
    if now >= since + WAIT_BEFORE_FLAG:
        calls.mark_stuck(call, Attention.NOT_WANTED)
        attention.flag(delivery, Attention.NOT_WANTED)
    else:
        calls.postpone(call, since + WAIT_BEFORE_FLAG, Attention.NOT_WANTED)
    delivery.save(update_fields=HELD)


def is_held(delivery: Delivery) -> bool:
    """Tell whether the delivery waits because its adapter does not want it sent."""
    return delivery.unwanted_since is not None and delivery.delivery_id is None and delivery.is_open


def release(delivery: Delivery) -> Delivery:
    """Let a delivery go that waited for its adapter's yes; return it as it stands then."""
    with transaction.atomic(using=db_alias()):
        locked = lock_current(delivery)
        if is_held(locked):
            _release(locked)
    return locked


def release_for_staff(delivery: Delivery, *, send_anyway: bool) -> None:
    """Let a locked delivery go that is held back: because the adapter wants it by now, or as staff decide.

    Staff overrule `wants_delivery`, never `wants_cancel`. Raises `CannotRetry` for an adapter that still says no.
    """
    if send_anyway:
        delivery.send_anyway_at = clock.now()
    elif not _is_wanted(delivery):
        raise CannotRetry(
            gettext("The shop's adapter does not want it sent: send it all the same, cancel it, or save the order.")
        )
    _release(delivery)


def note_refusal(delivery: Delivery) -> None:
    """Clear what an adapter failed on before: it answers, and does not want the order shipped.

    A delivery without a name was never known to be wanted, and goes: a save that answers yes opens another.
    """
    with transaction.atomic(using=db_alias()):
        locked = lock(using=db_alias(), id=delivery.pk)
        if locked is None or locked.attention != Attention.ADAPTER_FAILED:
            return
        if not locked.external_order_id:
            locked.delete()
            return
        for call in calls.never_sent(locked).filter(state=State.STUCK, reason=Attention.ADAPTER_FAILED):
            hold(call, locked, clock.now())
        attention.clear(locked, frozenset({Attention.ADAPTER_FAILED}))
        locked.save(update_fields=attention.COLUMNS)


def _prepare(call: ApiCall, delivery: Delivery, order: models.Model | None) -> Wish:
    """Ask for the latest word on an order; if it is to go, follow its name and account, and build a missing payload.

    Raises `ObjectDoesNotExist` when the order is gone, and `AdapterFailed`.
    """
    is_read_and_frozen = order is not None and call.payload  # a savepoint would be all that it costs the database
    with nullcontext() if is_read_and_frozen else transaction.atomic(using=db_alias()):
        order = order or payloads.order_of(delivery)
        word = payloads.current_wish(delivery, order)
        if word is Wish.SEND and _follow(call, delivery, order) and not call.payload:
            payloads.build(call, delivery, order)
    return word


def _follow(call: ApiCall, delivery: Delivery, order: models.Model) -> bool:
    """Take over a name or an account that the order got without a save. Returns whether the call may go on as it is."""
    account = delivery.account
    identity = identities.identity_as(identities.adapter_of(order), Subject(order, delivery.object_id))
    own = identities.numbered(identity, delivery.generation)
    is_same = (own.account, own.external_order_id) == (account, delivery.external_order_id)
    if is_same or not move(delivery, own):
        return True
    call.idempotency_key, call.payload, call.payload_sha256 = own.external_order_id or "", "", ""
    return delivery.account == account


def _is_wanted(delivery: Delivery) -> bool:
    try:
        return payloads.is_wanted(delivery)
    except models.ObjectDoesNotExist as err:
        raise CannotRetry(gettext("The order is gone: cancel it.")) from err
    except AdapterFailed as err:
        raise CannotRetry(gettext("The shop's adapter failed: %(error)s.") % {"error": err}) from err


def _release(delivery: Delivery) -> None:
    delivery.unwanted_since = None
    for call in calls.never_sent(delivery).filter(reason=Attention.NOT_WANTED):
        calls.release(call, clock.now())
    attention.clear(delivery, attention.OF_WAITING)
    delivery.save(update_fields=HELD)


def _let_go(call: ApiCall, delivery: Delivery) -> None:
    """Note that the adapter wants it by now, though no save has said so."""
    call.reason, delivery.unwanted_since = "", None
    call.save(update_fields=["reason", "updated_at"])
    delivery.save(update_fields=["unwanted_since", "updated_at"])


def _cancel(delivery: Delivery, order: models.Model, now: datetime) -> None:
    delivery.cancel_requested_at = delivery.cancel_requested_at or now
    delivery.cancel_reason = delivery.cancel_reason or payloads.cancel_reason_of(order)
    status.cancel_unsent(delivery)
    status.save(delivery, (*status.MIRROR_COLUMNS, "unwanted_since"))
