"""Bulk actions that one request cannot finish: kept row by row, and done by the worker.

Every service behind them may run twice without doing anything twice, so a worker that dies between
doing a row and deleting it costs nothing.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import InterfaceError, OperationalError
from django.utils.translation import gettext

from kaspi_delivery_django.exceptions import DeliveryError, UsageError
from kaspi_delivery_django.models import Delivery, PendingAction, WebhookEvent
from kaspi_delivery_django.services import clock, deliveries, failures, inbox, nudges
from kaspi_delivery_django.services.transactions import home, is_transient

logger = logging.getLogger(__name__)

Name = PendingAction.Name

ROWS_AT_ONCE = 1000


def hand_over(name: str, keys: Sequence[Any], *, reason: str = "", asked_by: str = "") -> None:
    """Keep what is to be done with these rows, given by their primary keys, until the worker does it."""
    column = "event_id" if name in _OF_EVENTS else "delivery_id"
    shared = {"name": name, "reason": reason, "asked_by": asked_by, "created_at": clock.now()}
    rows = (PendingAction(**shared, **{column: key}) for key in keys)
    PendingAction.objects.using(home()).bulk_create(rows, batch_size=ROWS_AT_ONCE)


def do_waiting(*, limit: int, using: str) -> int:
    """Do what staff handed over, the oldest first. Returns how many rows were looked at."""
    related = PendingAction.objects.using(using).select_related("delivery", "event")
    actions = list(related.waiting()[:limit])
    with nudges.held():  # the worker sends, at its own rate
        for action in actions:
            _do(action)
    return len(actions)


def dismiss(action: PendingAction) -> None:
    """Take an action off the list, done or not."""
    PendingAction.objects.using(action._state.db).filter(pk=action.pk).delete()


def _do(action: PendingAction) -> None:
    try:
        failure = _attempt(action)
    except (OperationalError, InterfaceError) as err:
        if not is_transient(err):
            raise
        return
    if not failure:
        dismiss(action)
        return
    logger.warning("action refused: action=%s name=%s", action.pk, action.name)
    row = PendingAction.objects.using(action._state.db).filter(pk=action.pk)
    row.update(failed_at=clock.now(), failure=failure)


def _attempt(action: PendingAction) -> str:
    """Do it, and return why it was refused; nothing when it was not."""
    try:
        return _work(action)() or ""
    except (DeliveryError, UsageError, ObjectDoesNotExist) as err:
        return str(err)
    except (OperationalError, InterfaceError):
        raise
    except Exception as err:  # noqa: BLE001  # one bad row must not stop the others
        return failures.describe(err)


def _work(action: PendingAction) -> Callable[[], str | None]:
    if action.event is not None:
        return partial(_OF_EVENTS[action.name], action.event)
    if action.delivery is None:
        return partial(gettext, "The row is gone.")
    return partial(_OF_DELIVERIES[action.name], action.delivery, action.reason)


def _cancel(delivery: Delivery, reason: str) -> None:
    deliveries.cancel_delivery(delivery, reason=reason)


def _retry(delivery: Delivery, _reason: str) -> None:
    deliveries.retry_delivery(delivery)


def _refresh(delivery: Delivery, _reason: str) -> None:
    deliveries.refresh_delivery(delivery)


def _replay(event: WebhookEvent) -> str:
    state = inbox.replay_event(event)
    return gettext("It failed again.") if state == WebhookEvent.State.FAILED else ""


_OF_EVENTS: Mapping[str, Callable[[WebhookEvent], str | None]] = {
    Name.REPLAY: _replay,
    Name.ACKNOWLEDGE: inbox.acknowledge_event,
}
_OF_DELIVERIES: Mapping[str, Callable[[Delivery, str], str | None]] = {
    Name.CANCEL: _cancel,
    Name.RETRY: _retry,
    Name.REFRESH: _refresh,
}
