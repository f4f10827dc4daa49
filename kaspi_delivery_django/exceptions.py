"""Errors of the services, beside the client's.

`DeliveryError` is the root: the action is refused, nothing was changed, and the text names what can be done.
"""

from typing import Any

from kaspi_delivery_django.client.exceptions import KaspiError, UsageError

__all__ = [
    "AlreadyBooked",
    "CannotAcknowledge",
    "CannotBook",
    "CannotCancel",
    "CannotLink",
    "CannotMarkFinal",
    "CannotRefresh",
    "CannotReissue",
    "CannotRetry",
    "CannotReturn",
    "DeliveryError",
    "KaspiError",
    "NoAdapter",
    "UnusableKey",
    "UsageError",
]


class UnusableKey(UsageError):
    """The order's primary key has no text form by which the order can be found again."""


class DeliveryError(Exception):
    """An action was refused; nothing was changed."""


class NoAdapter(DeliveryError):
    """ORDER_ADAPTERS has no adapter for this model."""


class CannotBook(DeliveryError):
    """The order has a delivery, is to be cancelled, or has no data that could be sent."""


class AlreadyBooked(CannotBook):
    """The whole order has deliveries; `delivery` is one of them."""

    def __init__(self, text: str, delivery: Any) -> None:
        super().__init__(text)
        self.delivery = delivery


class CannotCancel(DeliveryError):
    """The parcel was picked up, or the delivery has ended."""


class CannotRefresh(DeliveryError):
    """The delivery has no Kaspi id yet, so it cannot be refreshed."""


class CannotRetry(DeliveryError):
    """No call is pending, or a retry could book a second parcel."""


class CannotLink(DeliveryError):
    """The delivery already has an id, or the id given is no valid Kaspi id."""


class CannotMarkFinal(DeliveryError):
    """The status is known, or the delivery is final already."""


class CannotReissue(DeliveryError):
    """A parcel exists, or may exist."""


class CannotReturn(DeliveryError):
    """The customer does not have the parcel, or its return is booked already."""


class CannotAcknowledge(DeliveryError):
    """Nothing needs attention, or the outcome is still unknown."""
