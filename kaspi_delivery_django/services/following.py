"""Follow the shop's orders: do what the adapter wants for one that was saved."""

import logging

from django.db import models, transaction

from kaspi_delivery_django.client.types import read_text
from kaspi_delivery_django.exceptions import CannotCancel
from kaspi_delivery_django.models import Attention
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services import attention, booking, clock
from kaspi_delivery_django.services.deliveries import cancel_delivery
from kaspi_delivery_django.services.failures import AdapterFailed, ask, one_line
from kaspi_delivery_django.services.transactions import lock_again

logger = logging.getLogger(__name__)


def follow_order(adapter: AnyAdapter, order: models.Model) -> None:
    """Book, or cancel, as the adapter wants. Its failures wait for a person."""
    try:
        if ask(adapter.wants_cancel, order):
            _cancel_order(adapter, order)
        elif ask(adapter.wants_delivery, order):
            booking.book(adapter, order)
    except AdapterFailed as err:
        booking.set_aside(adapter, order, err)


def wants_booking(adapter: AnyAdapter, order: models.Model) -> bool:
    """Ask whether saving the order now would book it. Raises `AdapterFailed`."""
    return bool(not ask(adapter.wants_cancel, order) and ask(adapter.wants_delivery, order))


def _cancel_order(adapter: AnyAdapter, order: models.Model) -> None:
    environment = booking.identity_of(adapter, order).environment
    delivery = booking.newest_of(adapter, order, environment)
    if delivery is None or delivery.cancel_requested_at or not delivery.is_open:
        return
    try:
        cancel_delivery(delivery, reason=_reason(adapter, order))
    except CannotCancel:
        with transaction.atomic(using=delivery._state.db):
            locked = lock_again(delivery)
            locked.cancel_requested_at = clock.now()
            attention.flag(locked, Attention.CANCEL_REFUSED)
            locked.save(update_fields=["cancel_requested_at", *attention.COLUMNS])


def _reason(adapter: AnyAdapter, order: models.Model) -> str:
    """Return the adapter's reason; a cancel goes without one rather than not at all."""
    try:
        return read_text(ask(adapter.cancel_reason, order))
    except AdapterFailed as err:
        logger.error("no cancel reason: model=%s pk=%s error=%s", adapter.model, one_line(order.pk), err)  # noqa: TRY400  # no data in logs
        return ""
