"""Follow the shop's orders: book or cancel when one is saved, adopt what Kaspi has already booked."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from django.db import IntegrityError, models, transaction

from kaspi_delivery_django import orders
from kaspi_delivery_django.client.exceptions import UsageError
from kaspi_delivery_django.client.types import is_identifier
from kaspi_delivery_django.exceptions import CannotLink, UnusableKey
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services.db import after_commit, db_alias, savepoint
from kaspi_delivery_django.services.deliveries import booking, calls, identities, payloads, rules
from kaspi_delivery_django.services.deliveries.actions import cancel_for_shop, link_delivery
from kaspi_delivery_django.services.deliveries.identities import Subject
from kaspi_delivery_django.services.deliveries.payloads import Wish, wish_for
from kaspi_delivery_django.services.errors import AdapterFailed

Book: TypeAlias = Callable[[AnyAdapter, Subject], None]


@dataclass(frozen=True, kw_only=True)
class Save:
    """What Django tells of a save: where it went, whether the row is new, and whether only some fields were written."""

    using: str
    is_new: bool = False
    is_partial: bool = False


def follow_order(adapter: AnyAdapter, order: models.Model, save: Save | None = None) -> None:
    """Book, or cancel, as the adapter wants. Its failures wait for a person.

    The adapter is asked about what the database holds: about the instance, with its primary key as the database
    returns it; about the row where the instance was not written as a whole, or where the adapter fails on it.
    """
    saved = save or Save(using=db_alias())
    if saved.using != db_alias():
        _flag_foreign_database(adapter, order, saved.using)
        return
    reads_row = saved.is_partial and orders.can_be_looked_up(adapter.model_class())
    word = None if reads_row else _wish_for_instance(adapter, order)
    if word is Wish.WAIT and saved.is_new:
        return
    try:
        with savepoint(db_alias()):
            _carry_out(adapter, order, word, booking.book)
    except IntegrityError:
        with savepoint(db_alias()):
            _carry_out(adapter, order, word, booking.book_after_conflict)


def _wish_for_instance(adapter: AnyAdapter, order: models.Model) -> Wish | None:
    """Ask about the instance that was saved; None where only the row can tell, as where its key is an expression."""
    is_counted = orders.is_counted(adapter.model_class())  # no query is needed to know the key as the database has it
    try:
        known = orders.with_key(order, orders.order_key(order, using=db_alias())) if is_counted else order
        return wish_for(adapter, known)
    except (AdapterFailed, UnusableKey):
        return None


def _carry_out(adapter: AnyAdapter, order: models.Model, word: Wish | None, book: Book) -> None:
    try:
        subject = identities.subject_of(adapter, order, from_row=word is None)
        if subject is None:
            return
        wanted = word or wish_for(adapter, subject.order)
        if wanted is Wish.SEND:
            book(adapter, subject)
        elif wanted is Wish.CANCEL:
            _cancel_order(adapter, subject)
        else:
            booking.cancel_if_unsent(subject)
    except AdapterFailed as err:
        if word is not Wish.WAIT:
            booking.flag_adapter_failure(adapter, order, err)


def _flag_foreign_database(adapter: AnyAdapter, order: models.Model, using: str) -> None:
    """Have a person see, once it is committed there, an order of a database that no worker reads."""
    try:
        if wish_for(adapter, order) is Wish.WAIT:
            return
    except AdapterFailed:  # a person sees to both
        pass
    after_commit(booking.flag_foreign_database, adapter, order, using, using=using)


def _cancel_order(adapter: AnyAdapter, subject: Subject) -> None:
    if not subject.known:
        return
    environment = identities.identity_as(adapter, subject).environment
    delivery = identities.newest_of(adapter, subject.object_id, environment)
    if delivery is None or delivery.cancel_requested_at or not delivery.is_open:
        booking.cancel_if_unsent(subject)
        return
    cancel_for_shop(delivery, reason=payloads.cancel_reason_of(subject.order))


def adopt_delivery(order: models.Model, delivery_id: str, *, external_order_id: str = "") -> Delivery:
    """Follow a delivery that Kaspi has already; the order is not booked, whatever its adapter wants.

    `external_order_id` is what Kaspi was told then; without it, what the adapter says. Kaspi is asked
    after the commit, and must confirm the two ids; what it does not confirm waits for a person.
    Adopting twice asks again, and does no harm. Raises `NoAdapter`, `UsageError` for an external order
    id that cannot be one, and `CannotLink` when the order has another delivery.
    """
    adapter = booking.adapter_of(order)
    if external_order_id and not is_identifier(external_order_id):
        raise UsageError("external_order_id must be 1 to 128 printable ASCII characters")
    try:
        identity = booking.identity_of(adapter, order)
        known_as = replace(identity, external_order_id=external_order_id or identity.external_order_id)
        return _adopt(adapter, delivery_id, known_as)
    except AdapterFailed as err:
        raise CannotLink(booking.ADAPTER_FAILED % {"error": err}) from err


def _adopt(adapter: AnyAdapter, delivery_id: str, identity: booking.Identity) -> Delivery:
    with transaction.atomic(using=db_alias()):
        own = identities.deliveries_as(adapter, identity.object_id)
        known = own.filter(environment=identity.environment).first()
        delivery = known or booking.open_delivery(adapter, identity, calls.add_booked_elsewhere)
        if delivery.delivery_id == delivery_id:
            return delivery
        if not rules.may_be_booked(delivery) or delivery.external_order_id != identity.external_order_id:
            raise CannotLink(booking.OTHER_DELIVERY % {"name": delivery})
        link_delivery(delivery, delivery_id)
    return delivery
