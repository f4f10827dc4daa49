"""Schedule the GETs of a delivery. An unknown status is refreshed ever less often."""

from datetime import datetime, timedelta

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.models.deliveries import FLAG_UNKNOWN_AFTER
from kaspi_delivery_django.services import clock

MAX_INTERVAL = timedelta(days=1)


def next_refresh(delivery: Delivery, *, after: timedelta | None = None) -> datetime | None:
    """Return when the delivery is refreshed next if Kaspi sends no webhook; None once it has ended."""
    if not delivery.is_open or not delivery.delivery_id:
        return None
    now = clock.now_of(delivery)
    return now + (after or refresh_interval(delivery, now))


def schedule_refresh_now(delivery: Delivery) -> None:
    """Schedule a GET at once. The caller saves the delivery."""
    delivery.next_refresh_at = clock.now_of(delivery)


def reschedule(delivery: Delivery, *, after: timedelta | None = None) -> None:
    """Schedule the next GET. The caller saves the delivery.

    A GET that is due stays due, even if the delivery has ended: only Kaspi's answer resolves a contradiction.
    With `after`, a GET that is scheduled earlier stays as well.
    """
    if is_refresh_due(delivery):
        return
    planned, earlier = next_refresh(delivery, after=after), delivery.next_refresh_at
    delivery.next_refresh_at = min(planned, earlier) if planned and earlier and after else planned


def is_refresh_due(delivery: Delivery) -> bool:
    """Return whether a GET is due."""
    return delivery.next_refresh_at is not None and delivery.next_refresh_at <= clock.now_of(delivery)


def refresh_interval(delivery: Delivery, now: datetime) -> timedelta:
    """Return the time until the next refresh: REFRESH_AFTER, doubled each time for an unknown status.

    It grows to a day, and ends when the unknown status is to be flagged.
    """
    usual = conf.current().refresh_after
    if not delivery.has_unknown_status:
        return usual
    age = delivery.age_of_status(now)
    longer = max(usual, min(age, MAX_INTERVAL))
    left = FLAG_UNKNOWN_AFTER - age
    return min(longer, left) if left > timedelta(0) else longer
