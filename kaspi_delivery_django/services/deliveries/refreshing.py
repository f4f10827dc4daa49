"""Schedule the GETs of a delivery. An unknown status is refreshed ever less often, and flagged once."""

from datetime import datetime, timedelta

from kaspi_delivery_django import conf, statuses
from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.deliveries import attention

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
    if not _is_unknown(delivery):
        return usual
    age = _age(delivery, now)
    longer = max(usual, min(age, MAX_INTERVAL))
    left = FLAG_AFTER - age
    return min(longer, left) if left > timedelta(0) else longer


def flag_unknown(delivery: Delivery, now: datetime) -> None:
    """Flag a locked delivery whose unknown status has lasted, once. The caller saves it (STATUS_COLUMNS).

    A delivery that has another flag is flagged after that one is cleared.
    """
    if not _is_unknown(delivery):
        return
    if not delivery.is_open:
        attention.clear(delivery, attention.OF_UNKNOWN_STATUS)
    elif not delivery.attention and delivery.final_asked_at is None and _age(delivery, now) >= FLAG_AFTER:
        delivery.final_asked_at = now
        attention.flag(delivery, Attention.UNKNOWN_STATUS)


def reset_unknown(delivery: Delivery) -> None:
    """Undo the marks of the status that a locked delivery leaves: it is live again, even if staff ended it."""
    delivery.final_at = delivery.final_asked_at = None
    attention.clear(delivery, attention.OF_UNKNOWN_STATUS)


def _is_unknown(delivery: Delivery) -> bool:
    return delivery.status not in statuses.RANKS


def _age(delivery: Delivery, now: datetime) -> timedelta:
    return now - (delivery.status_at or now)
