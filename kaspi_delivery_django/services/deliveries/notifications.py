"""Send the signals of status changes to the shop: after the commit, at least once."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services import clock, fast_sql
from kaspi_delivery_django.services.db import after_commit, db_alias
from kaspi_delivery_django.signals import delivery_created, delivery_status_changed
from kaspi_delivery_django.statuses import CANCELLED

logger = logging.getLogger(__name__)
RETRY_INTERVAL = timedelta(minutes=1)
MAX_RETRY_INTERVAL = timedelta(hours=1)
NOTE_EVERY_S = 1.0
_is_left: ContextVar[bool] = ContextVar("kaspi_notices_are_left", default=False)


def has_listeners(*, is_creation: bool) -> bool:
    """Tell whether anybody listens in this process, which is the one that will tell: else there is nobody to tell."""
    hears_of_creation = is_creation and delivery_created.has_listeners(Delivery)
    return hears_of_creation or delivery_status_changed.has_listeners(Delivery)


@contextmanager
def deferred_to_worker() -> Iterator[None]:
    """Leave the signals of what changes here to the worker, where a runner other than `inline` is configured."""
    token = _is_left.set(conf.current().runner != "inline")
    try:
        yield
    finally:
        _is_left.reset(token)


def notify_after_commit(change: StatusChange) -> None:
    """Send the signals of one change once it is committed, unless they are left to the worker."""
    if not _is_left.get():
        after_commit(notify, change, using=db_alias())


def first_due(now: datetime) -> datetime:
    """Return when the worker sends the signals of a change that is made now: later, if this process is to."""
    return now if _is_left.get() else now + RETRY_INTERVAL


def notify(change: StatusChange) -> bool:
    """Send the signals of one change; True when every receiver returned, and then it is noted."""
    if not _send_signals(change):
        return False
    change.notified_at = clock.now()
    fast_sql.update(change, ["notified_at"], using=db_alias())
    return True


def notify_all(changes: Sequence[StatusChange]) -> int:
    """Send the signals of several changes of one database; note and count those that every receiver has taken.

    With slow receivers they are noted every second, so that nobody repeats what was told meanwhile.
    """
    noted, taken, since = 0, list[StatusChange](), time.monotonic()
    for change in changes:
        taken += [change] if _send_signals(change) else []
        if time.monotonic() - since > NOTE_EVERY_S:
            noted, taken, since = noted + _mark_notified(taken), [], time.monotonic()
    return noted + _mark_notified(taken)


def notify_pending(*, limit: int, using: str) -> int:
    """Repeat what some receiver has not taken; each time the wait doubles, up to an hour.

    Returns how many every receiver has taken now.
    """
    waiting = StatusChange.objects.using(using).unnotified(clock.now())
    changes = list(waiting.select_related("delivery")[:limit])
    return sum(notify(change) for change in changes)


def _mark_notified(taken: Sequence[StatusChange]) -> int:
    rows = StatusChange.objects.filter(pk__in=[change.pk for change in taken])
    return rows.update(notified_at=clock.now()) if taken else 0


def _send_signals(change: StatusChange) -> bool:
    delivery = change.delivery
    answers = []
    if _is_creation(change):
        answers += delivery_created.send_robust(Delivery, delivery=delivery)
    answers += delivery_status_changed.send_robust(Delivery, delivery=delivery, change=change)
    failed = [receiver for receiver, answer in answers if isinstance(answer, Exception)]
    if failed:
        logger.error("receivers failed: change=%s receivers=%s", change.pk, len(failed))
        now = clock.now()
        change.notify_after = now + min(max(now - change.created_at, RETRY_INTERVAL), MAX_RETRY_INTERVAL)
        fast_sql.update(change, ["notify_after"], using=db_alias())
    return not failed


def _is_creation(change: StatusChange) -> bool:
    """Tell whether this is the first step of what Kaspi has booked: not a cancel of what was never sent."""
    if not change.delivery.delivery_id or change.from_status not in {"", CANCELLED}:
        return False
    if not change.from_status:
        return True
    earlier = StatusChange.objects.filter(delivery=change.delivery, pk__lt=change.pk)
    return not earlier.filter(applied=True).exclude(to_status=CANCELLED).exists()
