"""Template filters and tags that show deliveries."""

import re
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import conditional_escape
from django.utils.translation import gettext

from kaspi_delivery_django.formats import DAY_AND_TIME, exact_duration_label, time_label
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.stats.estimates import estimate
from kaspi_delivery_django.statuses import status_label
from kaspi_delivery_django.tracking import Tracking, track

register = template.Library()
register.filter("kaspi_error", errors.translated)
register.filter("kaspi_status", status_label)
register.filter("kaspi_duration", exact_duration_label)
register.simple_tag(estimate, name="kaspi_estimate")


@register.filter(name="kaspi_time", expects_localtime=True)
def written_time(at: datetime | None, form: str = DAY_AND_TIME) -> str:
    """Write a time as the reader's language writes it: day, month and time, or one of Django's formats."""
    return time_label(at, form) if at else ""


@register.filter(name="kaspi_total")
def written_total(markup: str, rows: Any) -> str:
    """Write a list's total without naming the rows: Django's templates decline no noun."""
    names = (re.escape(conditional_escape(name)) for name in (rows.opts.verbose_name, rows.opts.verbose_name_plural))
    total = gettext("Total: %(count)s") % {"count": r"\1"}
    return re.sub(rf"(\d[\d\s.,]*?)\s+(?:{'|'.join(names)})(?=\s)", total, markup)


@register.inclusion_tag("kaspi_delivery/timeline.html", name="kaspi_timeline")
def timeline(delivery: Delivery | None) -> dict[str, Tracking]:
    """Show an order's customer where the parcel is; without a delivery, that it is being arranged."""
    return {"tracking": track(delivery)}  # an unknown variable is an empty text, and false
