"""Schedule the GETs of a delivery. An unknown status is refreshed ever less often."""

from datetime import datetime, timedelta

from kaspi_delivery_django import conf, statuses
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import clock

FLAG_AFTER = timedelta(days=1)
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
    if not has_unknown_status(delivery):
        return usual
    age = _age(delivery, now)
    longer = max(usual, min(age, MAX_INTERVAL))
    left = FLAG_AFTER - age
    return min(longer, left) if left > timedelta(0) else longer


def has_unknown_status(delivery: Delivery) -> bool:
    """Return whether this version does not know the status."""
    return delivery.status not in statuses.RANKS


def has_lasted_long(delivery: Delivery, now: datetime) -> bool:
    """Return whether the delivery has had its status for `FLAG_AFTER`."""
    return _age(delivery, now) >= FLAG_AFTER


def _age(delivery: Delivery, now: datetime) -> timedelta:
    return now - (delivery.status_at or now)
