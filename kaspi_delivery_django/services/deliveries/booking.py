"""Book an order: its first delivery when it is saved, the next one only when staff rebook it."""

import logging

from django.db import IntegrityError, models
from django.utils.translation import gettext, gettext_lazy

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.types import check_reason, is_identifier
from kaspi_delivery_django.exceptions import CannotReissue, CannotReturn
from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services.db import atomic, db_alias, storable
from kaspi_delivery_django.services.deliveries import attention, calls, identities, payloads, preflight, rules, status
from kaspi_delivery_django.services.deliveries.identities import Identity, OrderRef
from kaspi_delivery_django.services.errors import AdapterFailed, one_line
from kaspi_delivery_django.services.fast_sql import DeliveryKeys
from kaspi_delivery_django.services.locks import locked_row

logger = logging.getLogger(__name__)
OTHER_DELIVERY = gettext_lazy("The order has another delivery: %(name)s.")


def request_delivery(order: models.Model) -> Delivery:
    """Book the order's first delivery, once, however often this is called.

    Writes two rows in the current transaction and returns the Delivery; the request to Kaspi
    follows after the commit. If the adapter fails, or if no worker reads the order's database, the Delivery is
    flagged for manual review.
    Raises `NoAdapter` when the order's model has no adapter, and `UsageError` for an order without a primary key.
    """
    adapter = identities.adapter_of(order)
    try:
        if not identities.is_ours(adapter, order):
            return flag_foreign_database(adapter, order, identities.place_of(order))
        return _book(adapter, identities.identity_of(adapter, order))
    except AdapterFailed as err:
        return flag_adapter_failure(adapter, order, err)


def book(adapter: AnyAdapter, ref: OrderRef) -> None:
    """Book an order that was saved, as `request_delivery` does; most are booked already.

    Raises `AdapterFailed`, and `IntegrityError` when another transaction was faster: see `book_after_conflict`.
    """
    identity = identities.identity_as(adapter, ref)
    here = [one for one in ref.known if one.environment == identity.environment]
    if not ref.known:
        with atomic(savepoint=False):
            calls.add_create(calls.insert(adapter, identity))
    elif not here or not all(is_up_to_date(one, identity) for one in identities.one_per_parcel(here)):
        _book(adapter, identity)


def book_after_conflict(adapter: AnyAdapter, ref: OrderRef) -> None:
    """Book an order whose rows another transaction has written meanwhile. Raises `AdapterFailed`."""
    _book(adapter, identities.identity_as(adapter, ref))


def clear_failure(ref: OrderRef) -> None:
    """Clear an earlier failure of the adapter, which does not want the order shipped now."""
    failed = [seen.pk for seen in ref.known if seen.attention == Attention.ADAPTER_FAILED]
    for delivery in Delivery.objects.filter(pk__in=failed) if failed else ():
        preflight.note_refusal(delivery)


def reissue_delivery(delivery: Delivery, *, confirmed_absent: bool = False) -> Delivery:
    """Rebook the order after its delivery was cancelled, refused or abandoned; return the new one.

    `confirmed_absent` confirms that Kaspi has no delivery of this name: without it an order that Kaspi may have
    booked is not rebooked. Raises `CannotReissue`.
    """
    with locked_row(delivery) as locked:
        rules.check_reissue(locked, confirmed_absent=confirmed_absent)
        status.abandon(locked)
        with preflight.refused_as(CannotReissue, gone=gettext("The order is gone.")):
            order = payloads.order_of(locked)
            adapter = identities.adapter_of(order)
            if locked.is_return:
                identity = identities.of_return(adapter, locked.returned_delivery(), order)
                return _open_return(adapter, _next(adapter, locked, identity), locked.return_reason)
            identity = identities.for_parcel(identities.identity_of(adapter, order), locked.parcel)
            return calls.open_delivery(adapter, _next(adapter, locked, identity), calls.add_create)


def request_return(delivery: Delivery, *, reason: str = "") -> Delivery:
    """Book the way back of a delivery that its customer has, once, however often this is called; return the return.

    The courier fetches the parcel at the customer. `reason` is for staff, not for Kaspi. A return that was cancelled
    or refused is rebooked by staff: see `reissue_delivery`. Raises `CannotReturn`, and `UsageError` for a reason that
    cannot be stored.
    """
    check_reason(reason)
    with locked_row(delivery) as locked:
        if (booked := locked.returns().first()) is not None:
            return booked
        rules.check_return(locked)
        with preflight.refused_as(CannotReturn, gone=gettext("The order is gone.")):
            order = payloads.order_of(locked)
            adapter = identities.adapter_of(order)
            return _open_return(adapter, identities.of_return(adapter, locked, order), storable(reason))


def is_up_to_date(newest: DeliveryKeys | Delivery, identity: Identity) -> bool:
    """Return whether a save changes nothing about the order's newest delivery.

    It changes one that the adapter failed on, one that is held back or postponed, and an unbooked one whose account,
    name or label differs.
    """
    is_waiting = newest.unwanted_since is not None or newest.not_before is not None
    if (is_waiting and newest.delivery_id is None) or newest.attention == Attention.ADAPTER_FAILED:
        return False
    own = identities.within(identity, newest)
    return newest.delivery_id is not None or identities.is_same(newest, own)


def flag_adapter_failure(
    adapter: AnyAdapter, order: models.Model, failure: AdapterFailed, *, object_id: str = ""
) -> Delivery:
    """Flag the delivery of an order that the adapter failed on; saving the order again retries.

    `object_id` is the text that the delivery is found by, if it is not that of the order's key.
    """
    object_id = object_id or identities.object_id_of(order)
    logger.error("adapter failed: model=%s pk=%s error=%s", adapter.model, one_line(object_id), failure)
    accounts = conf.current().accounts
    account = accounts.get(conf.DEFAULT_ACCOUNT) or next(iter(accounts.values()))
    nameless = identities.labelled(Identity(account.alias, account.environment, object_id=object_id), adapter, order)
    environments = {one.environment for one in accounts.values()}
    known = identities.deliveries_as(adapter, object_id).filter(environment__in=environments)
    try:
        return _flagged(known.first()) or _insert_flagged(adapter, nameless, failure)
    except IntegrityError:
        return calls.winner(adapter, nameless) or known.get()


def flag_foreign_database(adapter: AnyAdapter, order: models.Model, using: str) -> Delivery:
    """Flag a delivery for an order that was written to another database than deliveries are.

    Its object id names that database too: an order of our own database may have the same key.
    """
    failure = AdapterFailed(
        f"The order is in the database {using!r}, which no worker reads: deliveries are in {db_alias()!r}. Route both"
        " to one database, or save it there."
    )
    object_id = identities.fitting(f"{using}:{identities.object_id_of(order)}")
    return flag_adapter_failure(adapter, order, failure, object_id=object_id)


def _book(adapter: AnyAdapter, identity: Identity) -> Delivery:
    newest = identities.newest_of(adapter, identity.object_id, identity.environment)
    if not newest:
        return calls.open_delivery(adapter, identity, calls.add_create)
    try:
        first, *_others = [_update(one, identity) for one in newest]
    except Delivery.DoesNotExist:  # it had no name, and was just deleted because it is not wanted
        return calls.open_delivery(adapter, identity, calls.add_create)
    return first


def _update(newest: Delivery, identity: Identity) -> Delivery:
    """Update the newest delivery of a parcel after a save that wants its order; return it as it is then."""
    if newest.is_held or newest.is_postponed:
        newest = preflight.release(newest)
    if is_up_to_date(newest, identity):
        return newest
    if newest.attention == Attention.ADAPTER_FAILED:
        return preflight.retry_failed(newest, identity)
    with locked_row(newest) as locked:
        preflight.move(locked, identities.within(identity, newest))
    return locked


def _open_return(adapter: AnyAdapter, identity: Identity, reason: str) -> Delivery:
    def add_create(delivery: Delivery) -> None:
        delivery.return_reason = reason
        delivery.save(update_fields=["return_reason", "updated_at"])
        calls.add_create(delivery)

    return calls.open_delivery(adapter, identity, add_create)


def _next(adapter: AnyAdapter, last: Delivery, identity: Identity) -> Identity:
    newest = identities.generations_of(adapter, identity).first()
    if newest is None:
        return identity
    if newest.pk != last.pk:
        raise CannotReissue(OTHER_DELIVERY % {"name": newest})
    following = identities.numbered(identity, newest.generation + 1)
    if not is_identifier(following.external_order_id):
        raise CannotReissue(gettext("external_order_id is too long for the number of the next delivery: shorten it."))
    return following


def _flagged(delivery: Delivery | None) -> Delivery | None:
    if delivery is None or delivery.attention:
        return delivery
    with locked_row(delivery) as locked:
        attention.flag(locked, Attention.ADAPTER_FAILED)
        locked.save(update_fields=attention.COLUMNS)
    return locked


def _insert_flagged(adapter: AnyAdapter, identity: Identity, failure: AdapterFailed) -> Delivery:
    with atomic():
        delivery = calls.insert(adapter, identity)
        attention.flag(delivery, Attention.ADAPTER_FAILED)
        delivery.save(update_fields=attention.COLUMNS)
        calls.add_stuck_create(delivery, Attention.ADAPTER_FAILED, str(failure))
    return delivery
