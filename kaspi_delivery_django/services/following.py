"""Follow the shop's orders: do what the adapter wants for one that was saved."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from django.db import IntegrityError, models

from kaspi_delivery_django import orders
from kaspi_delivery_django.exceptions import UnusableKey
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services import booking, identities, payloads
from kaspi_delivery_django.services.deliveries import cancel_for_shop
from kaspi_delivery_django.services.failures import AdapterFailed
from kaspi_delivery_django.services.identities import Subject
from kaspi_delivery_django.services.payloads import Word, word_on
from kaspi_delivery_django.services.transactions import after_commit, contained, home

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
    saved = save or Save(using=home())
    if saved.using != home():
        _follow_elsewhere(adapter, order, saved.using)
        return
    reads_row = saved.is_partial and orders.can_be_looked_up(adapter.model_class())
    word = None if reads_row else _word_on_instance(adapter, order)
    if word is Word.WAIT and saved.is_new:
        return
    try:
        with contained(home()):
            _carry_out(adapter, order, word, booking.book)
    except IntegrityError:
        with contained(home()):
            _carry_out(adapter, order, word, booking.book_after_all)


def _word_on_instance(adapter: AnyAdapter, order: models.Model) -> Word | None:
    """Ask about the instance that was saved; None where only the row can tell, as where its key is an expression."""
    is_counted = orders.is_counted(adapter.model_class())  # no query is needed to know the key as the database has it
    try:
        known = orders.with_key(order, orders.order_key(order, using=home())) if is_counted else order
        return word_on(adapter, known)
    except (AdapterFailed, UnusableKey):
        return None


def _carry_out(adapter: AnyAdapter, order: models.Model, word: Word | None, book: Book) -> None:
    try:
        subject = identities.subject_of(adapter, order, from_row=word is None)
        if subject is None:
            return
        wanted = word or word_on(adapter, subject.order)
        if wanted is Word.SEND:
            book(adapter, subject)
        elif wanted is Word.CANCEL:
            _cancel_order(adapter, subject)
        else:
            booking.withdraw(subject)
    except AdapterFailed as err:
        if word is not Word.WAIT:
            booking.set_aside(adapter, order, err)


def _follow_elsewhere(adapter: AnyAdapter, order: models.Model, using: str) -> None:
    """Have a person see, once it is committed there, an order of a database that no worker reads."""
    try:
        if word_on(adapter, order) is Word.WAIT:
            return
    except AdapterFailed:  # a person sees to both
        pass
    after_commit(booking.set_aside_elsewhere, adapter, order, using, using=using)


def _cancel_order(adapter: AnyAdapter, subject: Subject) -> None:
    if not subject.known:
        return
    environment = identities.identity_as(adapter, subject).environment
    delivery = identities.newest_of(adapter, subject.object_id, environment)
    if delivery is None or delivery.cancel_requested_at or not delivery.is_open:
        booking.withdraw(subject)
        return
    cancel_for_shop(delivery, reason=payloads.cancel_reason_of(subject.order))
