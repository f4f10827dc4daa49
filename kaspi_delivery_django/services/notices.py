"""Tell the shop's code what happened: after the commit, at least once, and never in our way."""

import logging
from datetime import timedelta

from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services import clock, statements
from kaspi_delivery_django.services.transactions import home
from kaspi_delivery_django.signals import delivery_created, delivery_status_changed

logger = logging.getLogger(__name__)

PATIENCE = timedelta(minutes=1)
LONGEST_PATIENCE = timedelta(hours=1)


def has_listeners(*, is_creation: bool) -> bool:
    """Tell whether anybody listens in this process, which is the one that will tell: else there is nobody to tell."""
    hears_of_creation = is_creation and delivery_created.has_listeners(Delivery)
    return hears_of_creation or delivery_status_changed.has_listeners(Delivery)


def notify(change: StatusChange) -> bool:
    """Send the signals of one change; True when every receiver returned, and then it is noted."""
    delivery = change.delivery
    answers = []
    if not change.from_status:
        answers += delivery_created.send_robust(Delivery, delivery=delivery)
    answers += delivery_status_changed.send_robust(Delivery, delivery=delivery, change=change)
    failed = [receiver for receiver, answer in answers if isinstance(answer, Exception)]
    now = clock.now()
    if failed:
        logger.error("receivers failed: change=%s receivers=%s", change.pk, len(failed))
        change.notify_after = now + min(max(now - change.created_at, PATIENCE), LONGEST_PATIENCE)
    else:
        change.notified_at = now
    statements.update(change, ["notify_after" if failed else "notified_at"], using=change._state.db or home())
    return not failed


def notify_again(*, limit: int, using: str) -> int:
    """Repeat what some receiver has not taken; each time the wait doubles, up to an hour.

    Returns how many every receiver has taken now.
    """
    waiting = StatusChange.objects.using(using).unnotified(clock.now())
    changes = list(waiting.select_related("delivery")[:limit])
    return sum(notify(change) for change in changes)
