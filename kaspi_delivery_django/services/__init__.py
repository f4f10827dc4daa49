"""The only code that writes rows. Shops may call what is named here; the rest is internal."""

from kaspi_delivery_django.services.deliveries.actions import (
    acknowledge_delivery,
    cancel_delivery,
    link_delivery,
    mark_final,
    refresh_delivery,
    retry_delivery,
)
from kaspi_delivery_django.services.deliveries.booking import reissue_delivery, request_delivery, request_return
from kaspi_delivery_django.services.deliveries.orders import adopt_delivery, book_delivery
from kaspi_delivery_django.services.inbox import acknowledge_event, replay_event

__all__ = [
    "acknowledge_delivery",
    "acknowledge_event",
    "adopt_delivery",
    "book_delivery",
    "cancel_delivery",
    "link_delivery",
    "mark_final",
    "refresh_delivery",
    "reissue_delivery",
    "replay_event",
    "request_delivery",
    "request_return",
    "retry_delivery",
]
