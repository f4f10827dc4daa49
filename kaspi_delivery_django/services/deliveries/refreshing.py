"""Schedule the GETs of a delivery; unknown statuses are refreshed ever less often, and flagged once."""

from datetime import datetime, timedelta

from kaspi_delivery_django import conf, statuses
from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.deliveries import attention


def now_of(delivery: Delivery) -> datetime:
    """Return the time that a locked delivery's due times go by: the database's; this process's for one not locked."""
    return delivery.locked_at or clock.now()


def next_refresh(delivery: Delivery, *, after: timedelta | None = None) -> datetime | None:
    """Return when Kaspi is to be asked if it stays silent; never, once a delivery has ended."""
    if not delivery.is_open or not delivery.delivery_id:
        return None
    now = now_of(delivery)
    return now + (after or refresh_interval(delivery, now))


def schedule_refresh_now(delivery: Delivery) -> None:
    """Schedule a GET at once. The caller saves the delivery."""
    delivery.next_refresh_at = now_of(delivery)


def reschedule(delivery: Delivery, *, after: timedelta | None = None) -> None:
    """Set when Kaspi is to be asked if it stays silent. The caller saves the delivery.

    A GET that is due already stays due, also when the delivery has ended meanwhile: only Kaspi's answer
    settles a contradiction. With `after`, one that is planned earlier stays as well.
    """
    if is_refresh_due(delivery):
        return
    planned, earlier = next_refresh(delivery, after=after), delivery.next_refresh_at
    delivery.next_refresh_at = min(planned, earlier) if planned and earlier and after else planned


def is_refresh_due(delivery: Delivery) -> bool:
    """Tell whether Kaspi is to be asked as soon as the worker can."""
    return delivery.next_refresh_at is not None and delivery.next_refresh_at <= now_of(delivery)


FLAG_AFTER = timedelta(days=1)
MAX_INTERVAL = timedelta(days=1)
REASON = frozenset({Attention.UNKNOWN_STATUS})


def refresh_interval(delivery: Delivery, now: datetime) -> timedelta:
    """Return the time until the next refresh: REFRESH_AFTER, and for an unknown status twice as long each time.

    It grows to a day, and is cut where staff are to be asked.
    """
    usual = conf.current().refresh_after
    if not _is_unknown(delivery):
        return usual
    lasted = _age(delivery, now)
    longer = max(usual, min(lasted, MAX_INTERVAL))
    left = FLAG_AFTER - lasted
    return min(longer, left) if left > timedelta(0) else longer


def flag_unknown(delivery: Delivery, now: datetime) -> None:
    """Ask staff about a locked delivery whose unknown status lasts, once; the caller saves it (COLUMNS of `status`).

    A delivery that was flagged for another reason is asked about after that.
    """
    if not _is_unknown(delivery):
        return
    if not delivery.is_open:
        attention.clear(delivery, REASON)
    elif not delivery.attention and delivery.final_asked_at is None and _age(delivery, now) >= FLAG_AFTER:
        delivery.final_asked_at = now
        attention.flag(delivery, Attention.UNKNOWN_STATUS)


def reset_unknown(delivery: Delivery) -> None:
    """Take back what was known of the status that a locked delivery leaves: it is live again, whoever ended it."""
    delivery.final_at = delivery.final_asked_at = None
    attention.clear(delivery, REASON)


def _is_unknown(delivery: Delivery) -> bool:
    return delivery.status not in statuses.RANKS


def _age(delivery: Delivery, now: datetime) -> timedelta:
    return now - (delivery.status_at or now)
