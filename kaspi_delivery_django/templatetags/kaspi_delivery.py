"""What templates say of deliveries."""

from django import template

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.stats.estimates import estimate
from kaspi_delivery_django.statuses import duration_label, status_label
from kaspi_delivery_django.tracking import Tracking, track

register = template.Library()
register.filter("kaspi_status", status_label)
register.filter("kaspi_duration", duration_label)
register.simple_tag(estimate, name="kaspi_estimate")


@register.inclusion_tag("kaspi_delivery/timeline.html", name="kaspi_timeline")
def timeline(delivery: Delivery | None) -> dict[str, Tracking]:
    """Show an order's customer where the parcel is; without a delivery, that it is being arranged."""
    return {"tracking": track(delivery)}  # an unknown variable is an empty text, and false
