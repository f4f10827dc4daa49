"""What the package's services raise, beside the client's errors.

`DeliveryError` is the root: what was asked cannot be done, and the text says what can.
"""

from kaspi_delivery_django.client.exceptions import KaspiError, UsageError

__all__ = [
    "CannotAcknowledge",
    "CannotCancel",
    "CannotLink",
    "CannotMarkFinal",
    "CannotRefresh",
    "CannotReissue",
    "CannotRetry",
    "DeliveryError",
    "KaspiError",
    "NoAdapter",
    "UnusableKey",
    "UsageError",
]


class UnusableKey(UsageError):
    """An order's primary key has no text that the order can be found by again."""


class DeliveryError(Exception):
    """A service refused: nothing was changed."""


class NoAdapter(DeliveryError):
    """No adapter in ORDER_ADAPTERS is for this model."""


class CannotCancel(DeliveryError):
    """The parcel was picked up already, or its life has ended."""


class CannotRefresh(DeliveryError):
    """Kaspi cannot be asked: the delivery has no id yet."""


class CannotRetry(DeliveryError):
    """Nothing waits, or sending it again could book a second parcel."""


class CannotLink(DeliveryError):
    """The delivery has its id, or the id given cannot be one of Kaspi's."""


class CannotMarkFinal(DeliveryError):
    """Its status is a known one, or it is final already."""


class CannotReissue(DeliveryError):
    """There is a parcel already, or there may be one."""


class CannotAcknowledge(DeliveryError):
    """Nothing asks for a person, or the question is still open."""
