"""What people read instead of the words of Kaspi's API."""

from datetime import timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

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
STATUS_EXPLANATIONS: dict[str, Promise] = {
    lifecycle.CREATED: gettext_lazy("Kaspi has your order."),
    lifecycle.ACCEPTED: gettext_lazy("A courier is on the way to the shop."),
    lifecycle.IN_TRANSIT: gettext_lazy("The courier has your parcel."),
    lifecycle.OUT_FOR_DELIVERY: gettext_lazy("The courier is on the way to you."),
    lifecycle.DELIVERED: gettext_lazy("Your parcel has arrived."),
    lifecycle.CANCELLED: gettext_lazy("This parcel will not be delivered."),
}


def status_label(status: str) -> str:
    """Return a status in the reader's language; a word of Kaspi's that is new to us stays as it is."""
    return str(STATUS_LABELS.get(status, status))


def status_explanation(status: str) -> str:
    """Return what a status means for the customer; nothing for a word of Kaspi's that is new to us."""
    return str(STATUS_EXPLANATIONS.get(status, ""))


def duration_label(time: timedelta) -> str:
    """Return a span of time in one unit, short: "45 min", "3 h", "2 d". A negative one is none.

    A day is too coarse for a parcel that comes today, so hours go up to two days.
    """
    minutes = max(0, int(time.total_seconds() // 60))
    if time < timedelta(hours=1):
        return gettext("%(count)s min") % {"count": minutes}
    if time < timedelta(days=2):
        return gettext("%(count)s h") % {"count": minutes // 60}
    return gettext("%(count)s d") % {"count": time.days}


def exact_duration_label(time: timedelta) -> str:
    """Return a span of time in hours and minutes: "30 h 5 min"."""
    hours, minutes = divmod(round(time.total_seconds() / 60), 60)
    return gettext("%(hours)s h %(minutes)s min") % {"hours": hours, "minutes": minutes}
