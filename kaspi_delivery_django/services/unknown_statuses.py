"""Statuses that are new to us: refreshed less and less often, and shown to staff once. Nothing is saved here."""

from datetime import datetime, timedelta

from kaspi_delivery_django import conf, lifecycle
from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.services import attention

ASK_STAFF_AFTER = timedelta(days=1)
LONGEST_PAUSE = timedelta(days=1)
REASON = frozenset({Attention.UNKNOWN_STATUS})


def pause(delivery: Delivery, now: datetime) -> timedelta:
    """Return the time until the next refresh: REFRESH_AFTER, and for an unknown status twice as long each time.

    It grows to a day, and is cut where staff are to be asked.
    """
    usual = conf.current().refresh_after
    if not _is_unknown(delivery):
        return usual
    lasted = _lasted(delivery, now)
    longer = max(usual, min(lasted, LONGEST_PAUSE))
    left = ASK_STAFF_AFTER - lasted
    return min(longer, left) if left > timedelta(0) else longer


def flag(delivery: Delivery, now: datetime) -> None:
    """Ask staff about a locked delivery whose unknown status lasts, once; the caller saves it (COLUMNS of `status`).

    A delivery that was flagged for another reason is asked about after that.
    """
    if not _is_unknown(delivery):
        return
    if not delivery.is_open:
        attention.clear(delivery, REASON)
    elif not delivery.attention and delivery.final_asked_at is None and _lasted(delivery, now) >= ASK_STAFF_AFTER:
        delivery.final_asked_at = now
        attention.flag(delivery, Attention.UNKNOWN_STATUS)


def forget(delivery: Delivery) -> None:
    """Take back what was known of the status that a locked delivery leaves: it is live again, whoever ended it."""
    delivery.final_at = delivery.final_asked_at = None
    attention.clear(delivery, REASON)


def _is_unknown(delivery: Delivery) -> bool:
    return delivery.status not in lifecycle.RANKS


def _lasted(delivery: Delivery, now: datetime) -> timedelta:
    return now - (delivery.status_at or now)
