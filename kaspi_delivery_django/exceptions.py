"""What the package's services raise, beside the client's errors.

`DeliveryError` is the root: what was asked cannot be done, and the text says what can.
"""

from kaspi_delivery_django.client.exceptions import KaspiError, UsageError

__all__ = ["CannotCancel", "DeliveryError", "KaspiError", "NoAdapter", "UsageError"]


class DeliveryError(Exception):
    """A service refused: nothing was changed."""


class NoAdapter(DeliveryError):
    """No adapter in ORDER_ADAPTERS is for this model."""


class CannotCancel(DeliveryError):
    """The parcel was picked up already, or its life has ended."""
