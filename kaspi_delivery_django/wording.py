"""What people read instead of the words of Kaspi's API."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import lifecycle

STATUS_LABELS: dict[str, Promise] = {
    "": _("Not booked yet"),
    lifecycle.CREATED: _("Created"),
    lifecycle.ACCEPTED: _("Accepted"),
    lifecycle.IN_TRANSIT: _("In transit"),
    lifecycle.OUT_FOR_DELIVERY: _("Out for delivery"),
    lifecycle.DELIVERED: _("Delivered"),
    lifecycle.CANCELLED: _("Cancelled"),
}


def status_label(status: str) -> str:
    """Return a status in the reader's language; a word of Kaspi's that is new to us stays as it is."""
    return str(STATUS_LABELS.get(status, status))
