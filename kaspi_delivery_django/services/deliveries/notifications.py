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
from kaspi_delivery_django.services.db import after_commit, database_now
from kaspi_delivery_django.services.errors import project_locale
from kaspi_delivery_django.signals import delivery_created, delivery_status_changed
from kaspi_delivery_django.statuses import CANCELLED

logger = logging.getLogger(__name__)
RETRY_INTERVAL = timedelta(minutes=1)
MAX_RETRY_INTERVAL = timedelta(hours=1)
MARK_EVERY_S = 1.0
_is_deferred: ContextVar[bool] = ContextVar("kaspi_signals_deferred", default=False)


def has_listeners(*, is_creation: bool) -> bool:
    """Return whether this process has receivers for a change; without any it counts as notified."""
    return delivery_status_changed.has_listeners(Delivery) or (is_creation and delivery_created.has_listeners(Delivery))


@contextmanager
def deferred_to_worker() -> Iterator[None]:
    """Leave the signals of changes made here to the worker, unless the runner is `inline`."""
    token = _is_deferred.set(conf.current().runner != "inline")
    try:
        yield
    finally:
        _is_deferred.reset(token)


def notify_after_commit(change: StatusChange) -> None:
    """Send the signals of a change once it is committed, unless they are left to the worker."""
    if not _is_deferred.get():
        after_commit(notify, change)


def first_due(now: datetime) -> datetime:
    """Return when the worker sends the signals of a change that is made now: later, if this process sends them too."""
    return now if _is_deferred.get() else now + RETRY_INTERVAL


def notify(change: StatusChange) -> bool:
    """Send the signals of a change. If every receiver returns, mark it as notified and return True."""
    if not _send_signals(change):
        return False
    change.notified_at = clock.now()
    fast_sql.update(change, ["notified_at"])
    return True


def notify_all(changes: Sequence[StatusChange]) -> int:
    """Send the signals of several changes of one database. Return how many were marked as notified.

    With slow receivers they are marked every second, so that no other process repeats the signals.
    """
    count, handled, since = 0, list[StatusChange](), time.monotonic()
    for change in changes:
        handled += [change] if _send_signals(change) else []
        if time.monotonic() - since > MARK_EVERY_S:
            count, handled, since = count + _mark_notified(handled), [], time.monotonic()
    return count + _mark_notified(handled)


def notify_pending(*, limit: int) -> int:
    """Send pending signals again. After each failure the delay doubles, up to an hour.

    Return the number of changes that are notified now.
    """
    due = StatusChange.objects.unnotified(database_now())
    return sum(notify(change) for change in list(due.select_related("delivery")[:limit]))


def _mark_notified(handled: Sequence[StatusChange]) -> int:
    rows = StatusChange.objects.filter(pk__in=[change.pk for change in handled])
    return rows.update(notified_at=clock.now()) if handled else 0


def _send_signals(change: StatusChange) -> bool:
    delivery = change.delivery
    answers = []
    with project_locale():
        if _is_creation(change):
            answers += delivery_created.send_robust(Delivery, delivery=delivery)
        answers += delivery_status_changed.send_robust(Delivery, delivery=delivery, change=change)
    failed = sum(isinstance(answer, Exception) for _receiver, answer in answers)
    if failed:
        logger.error("receivers failed: change=%s receivers=%s", change.pk, failed)
        now = database_now()
        change.notify_after = now + min(max(now - change.created_at, RETRY_INTERVAL), MAX_RETRY_INTERVAL)
        fast_sql.update(change, ["notify_after"])
    return not failed


def _is_creation(change: StatusChange) -> bool:
    """Return whether this is the first step of a booked delivery, other than a cancel before it was booked."""
    if not change.delivery.delivery_id or change.from_status not in {"", CANCELLED}:
        return False
    if not change.from_status:
        return True
    earlier = StatusChange.objects.filter(delivery=change.delivery, pk__lt=change.pk)
    return not earlier.filter(applied=True).exclude(to_status=CANCELLED).exists()
