"""What people read instead of the words of Kaspi's API."""

from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy

from kaspi_delivery_django import lifecycle

STATUS_LABELS: dict[str, Promise] = {
    "": pgettext_lazy("status", "Not booked yet"),
    lifecycle.CREATED: pgettext_lazy("status", "Created"),
    lifecycle.ACCEPTED: pgettext_lazy("status", "Accepted"),
    lifecycle.IN_TRANSIT: pgettext_lazy("status", "In transit"),
    lifecycle.OUT_FOR_DELIVERY: pgettext_lazy("status", "Out for delivery"),
    lifecycle.DELIVERED: pgettext_lazy("status", "Delivered"),
    lifecycle.CANCELLED: pgettext_lazy("status", "Cancelled"),
}


def status_label(status: str) -> str:
    """Return a status in the reader's language; a word of Kaspi's that is new to us stays as it is."""
    return str(STATUS_LABELS.get(status, status))
