"""Bulk actions: what they would do, and those too large for one request, queued row by row and run by the worker.

Each action is idempotent, so a worker may be killed between the action and the deletion of its row.
"""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import InterfaceError, OperationalError
from django.utils import translation
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as stored

from kaspi_delivery_django import conf
from kaspi_delivery_django.exceptions import DeliveryError, UsageError
from kaspi_delivery_django.models import Delivery, PendingAction, WebhookEvent
from kaspi_delivery_django.services import clock, errors, inbox
from kaspi_delivery_django.services.db import in_transaction, is_transient
from kaspi_delivery_django.services.deliveries import actions, booking, rules, runners
from kaspi_delivery_django.services.deliveries.rules import Effect

logger = logging.getLogger(__name__)
Name = PendingAction.Name
Key = TypeVar("Key")
BATCH_SIZE = 1000
ROWS_PER_REQUEST = 100
REQUEST_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What an action would do now: the keys of the rows that allow it, counted by effect; the others by the reason."""

    keys: list[int] = field(default_factory=list)
    effects: Counter[Effect] = field(default_factory=Counter)
    refused: dict[str, list[Delivery | WebhookEvent]] = field(default_factory=lambda: defaultdict(list))


def forecast(name: str, keys: Sequence[int]) -> Forecast:
    """Return what an action would do to these rows, given by their primary keys. Two queries for each batch.

    Nothing is asked of Kaspi or of the shop's adapter, and nothing is written.
    """
    result, effect_of = Forecast(), _EFFECTS[name]
    read_rows = _read_events if name in _OF_EVENTS else _read_deliveries
    for start in range(0, len(keys), BATCH_SIZE):
        for row in read_rows(keys[start : start + BATCH_SIZE]):
            try:
                result.effects[effect_of(row)] += 1
                result.keys.append(row.pk)
            except DeliveryError as err:
                result.refused[str(err)].append(row)
    return result


def queue(name: str, keys: Sequence[Any], *, reason: str = "", asked_by: str = "") -> None:
    """Queue an action for these rows, given by their primary keys. Skip rows that are already queued for it.

    `asked_by` is the user's login as `login_of` returns it. The worker refuses the action if that user is gone or may
    not do it by then; without a login it checks no permission.
    """
    column = "event_id" if name in _OF_EVENTS else "delivery_id"
    own = PendingAction.objects
    queued = set(own.waiting().filter(name=name, **{f"{column}__in": keys}).values_list(column, flat=True))
    asked_by = asked_by[: PendingAction._meta.get_field("asked_by").max_length]
    shared = {"name": name, "reason": reason, "asked_by": asked_by, "created_at": clock.now()}
    rows = (PendingAction(**shared, **{column: key}) for key in keys if key not in queued)
    own.bulk_create(rows, batch_size=BATCH_SIZE)


def do_at_once(keys: Sequence[Key], do: Callable[[Key], object]) -> Sequence[Key]:
    """Do the rows that a request has time for, one after the other; return the others, which can be queued.

    Under ATOMIC_REQUESTS nothing is sent before the end, when there is no time left: that is the worker's.
    """
    until = time.monotonic() + REQUEST_S
    with runners.deferred_to_worker() if in_transaction() else nullcontext():
        for done, key in enumerate(keys[:ROWS_PER_REQUEST]):
            if time.monotonic() >= until:
                return keys[done:]
            do(key)
    return keys[ROWS_PER_REQUEST:]


def login_of(user: Any) -> str:
    """Return a user's login as text that finds the user again.

    A login may be a number, a UUID, a phone object or a related row: the text is of its column's value.
    """
    field = user._meta.get_field(user.USERNAME_FIELD)
    return str(field.get_prep_value(field.value_from_object(user)))


def run_pending(*, limit: int) -> int:
    """Run queued actions, the oldest first. Return how many are done or refused."""
    related = PendingAction.objects.select_related("delivery", "event")
    actions = list(related.waiting()[:limit])
    may = lru_cache(maxsize=None)(_is_allowed)  # each user is queried once
    with runners.deferred_to_worker():  # which sends at its own rate
        return sum(_run(action, may) for action in actions)


def permission_for(name: str) -> str:
    """Return the permission that a user needs to queue, run or dismiss an action."""
    return "replay_event" if name in _OF_EVENTS else rules.PERMISSIONS.get(name, "")


def names_allowed_for(user: Any) -> list[str]:
    """Return the actions that a user may queue and dismiss."""
    return [name for name in Name.values if user.has_perm(f"kaspi_delivery.{permission_for(name)}")]


def dismiss(action: PendingAction) -> None:
    """Delete an action, done or not."""
    PendingAction.objects.filter(pk=action.pk).delete()


def _read_deliveries(keys: Sequence[int]) -> list[Delivery]:
    deliveries = list(Delivery.objects.filter(pk__in=keys).with_returns().defer("raw").order_by("pk"))
    rules.read_calls(deliveries)
    return deliveries


def _read_events(keys: Sequence[int]) -> list[WebhookEvent]:
    return list(WebhookEvent.objects.filter(pk__in=keys).defer("body").order_by("pk"))


def _checked(check: Callable[[Any], None], effect: Effect, row: Any) -> Effect:
    """Return the only effect of an action. Raises the `DeliveryError` of its check."""
    check(row)
    return effect


def _effect_of_replay(event: WebhookEvent) -> Effect:
    _check_dead_letter(event)
    if not event.is_replayable:
        raise DeliveryError(gettext("It came twice with different contents: it can be acknowledged, but not replayed."))
    return Effect.EVENT_APPLIED


def _check_dead_letter(event: WebhookEvent) -> None:
    if not event.is_dead_letter:
        raise DeliveryError(gettext("It needs no manual review."))


def _run(action: PendingAction, may: Callable[[str, str], bool]) -> bool:
    """Run the action. Return whether it needs no retry."""
    row = PendingAction.objects.filter(pk=action.pk)
    if not row.exists():  # dismissed meanwhile
        return True
    try:
        with translation.override(None):  # a refusal is stored in English, for readers of any language
            failure = _refusal(action, may) or _attempt(action)
    except (OperationalError, InterfaceError) as err:
        if not is_transient(err):
            raise
        row.update(deferred_at=clock.now())
        return False
    if failure:
        logger.warning("action refused: action=%s name=%s", action.pk, action.name)
        row.update(failed_at=clock.now(), failure=failure)
    else:
        dismiss(action)
    return True


def _refusal(action: PendingAction, may: Callable[[str, str], bool]) -> str:
    """Return why the action must not run; empty if it may."""
    if action.asked_by and not may(action.asked_by, action.name):
        return stored("The user who requested it no longer has the permission.")
    if clock.now() >= action.created_at + conf.current().max_dispatch_age:
        return stored("It waited too long. Request it again if it is still wanted.")
    return ""


def _is_allowed(login: str, name: str) -> bool:
    user = _user_of(login)
    allowed = user is not None and user.has_perm(f"kaspi_delivery.{permission_for(name)}")
    return bool(allowed and user.is_active)


def _user_of(login: str) -> Any:
    """Return the user; None also for a login that is no valid value of the column."""
    users = get_user_model()
    try:
        return users._default_manager.filter(**{users.USERNAME_FIELD: login}).first()
    except (ArithmeticError, TypeError, ValueError, ValidationError):
        return None


def _attempt(action: PendingAction) -> str:
    """Run the action. Return why it was refused; empty if it was not."""
    try:
        return _act(action)
    except (DeliveryError, UsageError, ObjectDoesNotExist) as err:
        return str(err)
    except (OperationalError, InterfaceError):
        raise
    except Exception as err:  # noqa: BLE001  # contained to this row
        return errors.describe(err)


def _act(action: PendingAction) -> str:
    if action.event is not None:
        return _OF_EVENTS[action.name](action.event)
    if action.delivery is None:
        return stored("The row was deleted.")
    _OF_DELIVERIES[action.name](action.delivery, action.reason)
    return ""


def _acknowledge(event: WebhookEvent) -> str:
    if event.state != WebhookEvent.State.ACKNOWLEDGED:  # a worker may have died after acknowledging it
        inbox.acknowledge_event(event)
    return ""


def _replay(event: WebhookEvent) -> str:
    state = inbox.replay_event(event)
    return stored("It failed again.") if state == WebhookEvent.State.FAILED else ""


_OF_EVENTS: Mapping[str, Callable[[WebhookEvent], str]] = {
    Name.REPLAY: _replay,
    Name.ACKNOWLEDGE: _acknowledge,
}
_OF_DELIVERIES: Mapping[str, Callable[[Delivery, str], object]] = {
    Name.CANCEL: lambda delivery, reason: actions.cancel_delivery(delivery, reason=reason),
    Name.RETRY: lambda delivery, _reason: actions.retry_delivery(delivery),
    Name.REFRESH: lambda delivery, _reason: actions.refresh_delivery(delivery),
    Name.RETURN: lambda delivery, reason: booking.request_return(delivery, reason=reason),
}
_EFFECTS: Mapping[str, Callable[[Any], Effect]] = {
    Name.CANCEL: rules.effect_of_cancel,
    Name.RETRY: lambda delivery: rules.effect_of_retry(delivery, clock.now()),
    Name.REFRESH: partial(_checked, rules.check_refresh, Effect.REFRESH_SENT),
    Name.RETURN: partial(_checked, rules.check_return, Effect.RETURN_BOOKED),
    Name.REPLAY: _effect_of_replay,
    Name.ACKNOWLEDGE: partial(_checked, _check_dead_letter, Effect.EVENT_CLOSED),
}
