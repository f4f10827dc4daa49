"""What templates say of deliveries."""

from datetime import datetime

from django import template

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.stats.estimates import estimate
from kaspi_delivery_django.statuses import DAY_AND_TIME, duration_label, status_label, time_label
from kaspi_delivery_django.tracking import Tracking, track

register = template.Library()
register.filter("kaspi_error", errors.translated)
register.filter("kaspi_status", status_label)
register.filter("kaspi_duration", duration_label)
register.simple_tag(estimate, name="kaspi_estimate")


@register.filter(name="kaspi_time", expects_localtime=True)
def written_time(at: datetime | None, form: str = DAY_AND_TIME) -> str:
    """Write a time as the reader's language writes it: day, month and time, or one of Django's formats."""
    return time_label(at, form) if at else ""


@register.inclusion_tag("kaspi_delivery/timeline.html", name="kaspi_timeline")
def timeline(delivery: Delivery | None) -> dict[str, Tracking]:
    """Show an order's customer where the parcel is; without a delivery, that it is being arranged."""
    return {"tracking": track(delivery)}  # an unknown variable is an empty text, and false
