"""Follow the shop's orders: do what the adapter wants for one that was saved."""

from django.db import models

from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services import booking, payloads
from kaspi_delivery_django.services.deliveries import cancel_for_shop
from kaspi_delivery_django.services.failures import AdapterFailed, ask_whether


def follow_order(adapter: AnyAdapter, order: models.Model) -> None:
    """Book, or cancel, as the adapter wants. Its failures wait for a person."""
    try:
        if ask_whether(adapter.wants_cancel, order):
            _cancel_order(adapter, order)
        elif ask_whether(adapter.wants_delivery, order):
            booking.book(adapter, order)
        else:
            booking.note_refusal(adapter, order)
    except AdapterFailed as err:
        booking.set_aside(adapter, order, err)


def wants_booking(adapter: AnyAdapter, order: models.Model) -> bool:
    """Ask whether saving the order now would book it. Raises `AdapterFailed`."""
    return not ask_whether(adapter.wants_cancel, order) and ask_whether(adapter.wants_delivery, order)


def _cancel_order(adapter: AnyAdapter, order: models.Model) -> None:
    environment = booking.identity_of(adapter, order).environment
    delivery = booking.newest_of(adapter, order, environment)
    if delivery is None:
        return
    if delivery.cancel_requested_at or not delivery.is_open:
        booking.note_refusal(adapter, order)
        return
    cancel_for_shop(delivery, reason=payloads.cancel_reason_of(order))
