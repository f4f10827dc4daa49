"""Follow the shop's orders: book or cancel when one is saved, adopt a delivery that Kaspi has already."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from django.db import IntegrityError, models
from django.utils.translation import gettext, gettext_lazy

from kaspi_delivery_django import orders
from kaspi_delivery_django.client.exceptions import UsageError
from kaspi_delivery_django.client.types import is_identifier
from kaspi_delivery_django.exceptions import AlreadyBooked, CannotBook, CannotLink, UnusableKey
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import after_commit, atomic, db_alias, savepoint
from kaspi_delivery_django.services.deliveries import booking, calls, identities, payloads, preflight, rules
from kaspi_delivery_django.services.deliveries.actions import cancel_for_shop, link_delivery
from kaspi_delivery_django.services.deliveries.identities import Identity, OrderRef
from kaspi_delivery_django.services.deliveries.payloads import Wish, wish_for
from kaspi_delivery_django.services.errors import AdapterFailed, translated

NOT_WANTED = gettext_lazy("The shop's adapter does not want it sent.")
Book: TypeAlias = Callable[[AnyAdapter, OrderRef], None]


@dataclass(frozen=True, kw_only=True)
class Save:
    """What Django's signal reports of a save: the database, and whether the row is new or partly written."""

    using: str
    is_new: bool = False
    is_partial: bool = False


def follow_order(adapter: AnyAdapter, order: models.Model, save: Save) -> None:
    """Book or cancel the order, as the adapter wants. A failure of the adapter is flagged.

    The adapter is asked about the instance, with its primary key as the database has it; about the row, if the
    instance was not saved as a whole, or if the adapter fails on it.
    """
    if save.using != db_alias():
        _flag_foreign_database(adapter, order, save.using)
        return
    reads_row = save.is_partial and orders.can_be_looked_up(adapter.model_class())
    wish = None if reads_row else _wish_for_instance(adapter, order)
    if wish is Wish.WAIT and save.is_new:
        return
    try:
        with savepoint():
            _carry_out(adapter, order, wish, booking.book)
    except IntegrityError:
        with savepoint():
            _carry_out(adapter, order, wish, booking.book_after_conflict)


def book_delivery(order: models.Model, *, send_anyway: bool = False) -> Delivery:
    """Book an order's first delivery, or the parcels that were added since, as staff decide; return the first of them.

    The order is read again and its request is built first, so an order that cannot be sent is refused, and nothing is
    written. `send_anyway` overrules `wants_delivery`, never `wants_cancel`. Raises `NoAdapter`, `AlreadyBooked`, and
    `CannotBook` for an order that is not wanted, is to be cancelled, is gone, or that the adapter fails on.
    """
    adapter = identities.adapter_of(order)
    with preflight.refused_as(CannotBook), atomic():
        missing, wish = _first_booking(adapter, order)
        if wish is Wish.WAIT and not send_anyway:
            raise CannotBook(str(NOT_WANTED))
        add = calls.add_create if wish is Wish.SEND else _add_overruled
        first, *_others = [calls.open_delivery(adapter, identity, add) for identity in missing]
        return first


def check_booking(order: models.Model) -> bool:
    """Return whether the adapter wants the order sent. Raises what `book_delivery` would raise; writes nothing."""
    adapter = identities.adapter_of(order)
    with preflight.refused_as(CannotBook), atomic():
        return _first_booking(adapter, order)[1] is Wish.SEND


def adopt_delivery(order: models.Model, delivery_id: str, *, external_order_id: str = "") -> Delivery:
    """Link the order to a delivery that Kaspi has already; the order is not booked, whatever its adapter wants.

    `external_order_id` is the name that Kaspi was given; without it, the adapter's. Kaspi must confirm both ids after
    the commit; otherwise the delivery is flagged. Adopting twice checks again, and changes nothing else. Raises
    `NoAdapter`, `UsageError` for an invalid external order id, and `CannotLink` when the order has another delivery.
    """
    adapter = identities.adapter_of(order)
    if external_order_id and not is_identifier(external_order_id):
        raise UsageError("external_order_id must be 1 to 128 printable ASCII characters")
    try:
        identity = identities.identity_of(adapter, order)
        known_as = replace(identity, external_order_id=external_order_id or identity.external_order_id)
        return _adopt(adapter, delivery_id, known_as)
    except AdapterFailed as err:
        raise CannotLink(preflight.ADAPTER_FAILED % {"error": translated(str(err))}) from err


def _first_booking(adapter: AnyAdapter, order: models.Model) -> tuple[list[Identity], Wish]:
    """Return what of an order has no delivery yet, and what its adapter wants; build its requests as a test.

    Raises `CannotBook` and `AdapterFailed`.
    """
    ref = identities.order_ref(adapter, order, from_row=True)
    if ref is None:
        raise CannotBook(gettext("The order is gone."))
    identity = identities.identity_as(adapter, ref)
    known = identities.newest_of(adapter, ref.object_id, identity.environment)
    missing = _added_parcels(adapter, ref.order, known, identity) if known else [identity]
    if not missing:
        raise AlreadyBooked(gettext("The order has a delivery already: %(name)s.") % {"name": known[0]}, known[0])
    wish = wish_for(adapter, ref.order)
    if wish is Wish.CANCEL:
        raise CannotBook(gettext("The shop's adapter wants it cancelled."))
    payloads.check(adapter, identity, ref.order)
    return missing, wish


def _added_parcels(
    adapter: AnyAdapter, order: models.Model, known: Sequence[Delivery], identity: Identity
) -> list[Identity]:
    """Return the parcels that an order has beside its booked ones; none if it is booked as a whole."""
    keys = {one.parcel.lower() for one in known}
    parcels = payloads.parcels_of(adapter, order) if "" not in keys else {}
    return [identities.for_parcel(identity, key) for key in parcels if key.lower() not in keys]


def _add_overruled(delivery: Delivery) -> None:
    delivery.send_anyway_at = clock.now()
    delivery.save(update_fields=["send_anyway_at", "updated_at"])
    calls.add_create(delivery)


def _wish_for_instance(adapter: AnyAdapter, order: models.Model) -> Wish | None:
    """Ask about the instance that was saved; None if only the row can answer, as for a key that is an expression."""
    has_simple_key = orders.has_simple_key(adapter.model_class())  # which needs no query
    try:
        known = orders.with_key(order, orders.order_key(order, using=db_alias())) if has_simple_key else order
        return wish_for(adapter, known)
    except (AdapterFailed, UnusableKey):
        return None


def _carry_out(adapter: AnyAdapter, order: models.Model, known_wish: Wish | None, book: Book) -> None:
    try:
        ref = identities.order_ref(adapter, order, from_row=known_wish is None)
        if ref is None:
            return
        wish = known_wish or wish_for(adapter, ref.order)
        if wish is Wish.SEND:
            book(adapter, ref)
        elif wish is Wish.CANCEL:
            _cancel_order(adapter, ref)
        else:
            booking.clear_failure(ref)
    except AdapterFailed as err:
        if known_wish is not Wish.WAIT:
            booking.flag_adapter_failure(adapter, order, err)


def _flag_foreign_database(adapter: AnyAdapter, order: models.Model, using: str) -> None:
    """Flag, once it is committed, a wanted order of a database that no worker reads."""
    try:
        if wish_for(adapter, order) is Wish.WAIT:
            return
    except AdapterFailed:  # the flag is for both
        pass
    after_commit(booking.flag_foreign_database, adapter, order, using, using=using)


def _cancel_order(adapter: AnyAdapter, ref: OrderRef) -> None:
    if not ref.known:
        return
    environment = identities.identity_as(adapter, ref).environment
    newest = identities.newest_of(adapter, ref.object_id, environment)
    open_ones = [one for one in newest if one.is_open and not one.cancel_requested_at]
    if not open_ones:
        booking.clear_failure(ref)
        return
    reason = payloads.cancel_reason_of(ref.order)
    for delivery in open_ones:
        cancel_for_shop(delivery, reason=reason)


def _adopt(adapter: AnyAdapter, delivery_id: str, identity: Identity) -> Delivery:
    with atomic():
        own = identities.deliveries_as(adapter, identity.object_id)
        known = own.filter(environment=identity.environment).first()
        delivery = known or calls.open_delivery(adapter, identity, calls.add_booked_elsewhere)
        if delivery.delivery_id == delivery_id:
            return delivery
        if not rules.may_be_booked(delivery) or delivery.external_order_id != identity.external_order_id:
            raise CannotLink(booking.OTHER_DELIVERY % {"name": delivery})
        link_delivery(delivery, delivery_id)
    return delivery
