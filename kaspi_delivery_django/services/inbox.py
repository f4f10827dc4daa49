"""Take in Kaspi's webhooks: committed before it is answered, and each event once."""

import logging
from functools import partial
from typing import Any

from django.db import connections, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext

from kaspi_delivery_django.client import MalformedEvent, read_event
from kaspi_delivery_django.client.events import ascii_text
from kaspi_delivery_django.client.types import RemoteEvent
from kaspi_delivery_django.conf import Account
from kaspi_delivery_django.exceptions import CannotAcknowledge
from kaspi_delivery_django.models import Attention, Delivery, WebhookEvent
from kaspi_delivery_django.services import attention, clock, events, failures, linking, status
from kaspi_delivery_django.services.events import EventNotStored
from kaspi_delivery_django.services.transactions import (
    durably,
    home,
    is_away,
    is_lock_timeout,
    is_nested,
    limited_waits,
    lock,
    short_waits,
)

logger = logging.getLogger(__name__)

State = WebhookEvent.State

FOREIGN = "the delivery belongs to another order"
SECOND = "a second parcel for a known order?"
NO_DELIVERY = "no delivery of ours"
LOCKED = "the delivery was locked by another transaction: the worker applies the event"
TEST = "a test event"
EXPECTED = "a test event that Kaspi was asked for and that has not come"
OTHER_DATA = "the same event id came with other data"

LOCK_WAIT_S = 3  # Kaspi waits for 5 s
LAST_WAIT_S = 1  # after it


class InsideTransaction(Exception):
    """A transaction around the view decides about the commit, so that no 2xx could be true."""


def receive(account: Account, remote: RemoteEvent, body: bytes) -> str:
    """Store a verified event and apply it; return the state it is in, once that is committed.

    If applying it fails, the event alone is stored, as failed; if its delivery is locked for longer than
    `LOCK_WAIT_S`, as parked, and the worker applies it. Raises `InsideTransaction`, or whatever kept the
    database from storing the event: then nothing was stored.
    """
    using = home()
    if is_nested(using):
        raise InsideTransaction
    event = _new_event(account, remote, body)
    with short_waits(using, seconds=LOCK_WAIT_S):
        try:
            work = partial(_take_in, event, remote, using)
            return durably(work, using=using, waits_again_within_s=LOCK_WAIT_S / 3)
        except Exception as err:
            if _is_unavailable(err, using):
                raise
            return _count_again(event, using) or _keep_unapplied(event, remote, err, using)


def expect_test(account: Account, event_id: str) -> None:
    """Remember the id of a test event that Kaspi was asked for: it takes no effect, whatever its data.

    One that was faster than Kaspi's answer leaves the dead letters.
    """
    using = home()
    event = WebhookEvent(
        account=account.alias,
        environment=account.environment,
        event_id=event_id,
        attempt=0,
        received_count=0,
        state=State.IGNORED,
        error=EXPECTED,
        received_at=clock.EARLIEST,
    )
    try:
        durably(partial(events.insert, event, using=using), using=using)
    except EventNotStored:
        end_test(event)


def end_test(event: WebhookEvent) -> None:
    """Take a test event that came unexpected off the dead letters. The reason of an unreadable one stays."""
    dead = _same(event, home()).filter(state__in=WebhookEvent.DEAD_LETTERS)
    dead.exclude(state=State.FAILED).update(error=TEST)
    dead.update(state=State.IGNORED)


def replay_event(event: WebhookEvent) -> str:
    """Apply an event again that is failed, parked or in conflict; return the state it is in then.

    Its signature and its timestamp were verified when it came. An event in another state is left
    alone, and so is one that came with two different contents: no replay can tell which is true.
    Raises `OperationalError` or `InterfaceError` when the database cannot commit.
    """
    using = home()
    try:
        with transaction.atomic(using=using):
            return _replay(event, using)
    except Exception as err:
        if is_away(err):
            raise
        return _fail(event, err, using)


def acknowledge_event(event: WebhookEvent) -> None:
    """Take an event off the list of dead letters: somebody has dealt with what it says.

    It takes no effect any more, and is pruned with the others. Raises `CannotAcknowledge`.
    """
    using = home()
    dead = WebhookEvent.objects.using(using).filter(pk=event.pk, state__in=WebhookEvent.DEAD_LETTERS)
    if not dead.update(state=State.ACKNOWLEDGED):
        raise CannotAcknowledge(gettext("Nothing asks for a person."))


def unpark_known(*, limit: int, using: str) -> int:
    """Apply parked events whose delivery has appeared, or is no longer locked. Returns how many were applied.

    One that breaks becomes a dead letter, and stops no other.
    """
    own = Delivery.objects.filter(account=OuterRef("account"), environment=OuterRef("environment"))
    by_order = own.filter(
        Q(delivery_id=OuterRef("kaspi_delivery_id")) | Q(delivery_id__isnull=True),
        external_order_id=OuterRef("external_order_id"),
    )
    by_id = own.filter(delivery_id=OuterRef("kaspi_delivery_id"))
    by_either = own.filter(
        Q(delivery_id=OuterRef("kaspi_delivery_id")) | Q(external_order_id=OuterRef("external_order_id"))
    )
    was_locked = Q(error=LOCKED) & Q(Exists(by_either))  # a second parcel, or another order's, is flagged now
    is_known = Q(Exists(by_order)) | (Q(external_order_id="") & Q(Exists(by_id))) | was_locked
    parked = WebhookEvent.objects.using(using).parked().filter(is_known)
    waiting = list(parked.order_by("pk")[:limit])
    return sum(_unpark_alone(event, using) for event in waiting)


def _new_event(account: Account, remote: RemoteEvent, body: bytes) -> WebhookEvent:
    return WebhookEvent(
        account=account.alias,
        environment=account.environment,
        event_id=remote.event_id,
        type=remote.type,
        attempt=remote.attempt,
        body=ascii_text(body),
        kaspi_delivery_id=remote.delivery_id,
        external_order_id=remote.external_order_id,
        occurred_at=clock.plausible(remote.occurred_at, clock.now()),
        received_at=clock.now(),
    )


def _is_unavailable(err: Exception, using: str) -> bool:
    """Tell whether the database cannot store the event now either: it is away, or SQLite's one lock is held."""
    return is_away(err) and (not is_lock_timeout(err) or connections[using].vendor == "sqlite")


def _take_in(event: WebhookEvent, remote: RemoteEvent, using: str) -> str:
    event.pk, event._state.adding = None, True  # a first try may have been rolled back
    delivery = _locked(event, using, within_s=LOCK_WAIT_S)
    if delivery is not None:  # PostgreSQL's limit goes on to the transaction's end
        return _place(event, remote, delivery, using)
    with limited_waits(using, seconds=LOCK_WAIT_S):
        return _place(event, remote, None, using)


def _replay(seen: WebhookEvent, using: str) -> str:
    delivery = _locked(seen, using)
    event = WebhookEvent.objects.using(using).select_for_update().get(pk=seen.pk)
    if event.state not in WebhookEvent.DEAD_LETTERS or event.error == OTHER_DATA:
        return event.state
    return _place(event, read_event(event.body.encode()), delivery, using)


def _place(event: WebhookEvent, remote: RemoteEvent, delivery: Delivery | None, using: str) -> str:
    """Apply the event to its locked delivery, or record why it cannot be; save it either way."""
    if unusable := events.why_unusable(remote):
        event.delivery = delivery
        if delivery is not None and events.is_about_delivery(remote):
            _ask_kaspi(delivery)
        return _store(event, *unusable, using)
    if delivery is None:
        return _store(event, State.PARKED, NO_DELIVERY, using)
    if remote.external_order_id not in {"", delivery.external_order_id}:
        _flag(delivery, Attention.FOREIGN_DELIVERY, occurrence=remote.external_order_id)
        return _store(event, State.CONFLICT, FOREIGN, using)
    if not linking.adopt(delivery, remote.delivery_id):
        _flag(delivery, Attention.SECOND_PARCEL, occurrence=remote.delivery_id)
        return _store(event, State.PARKED, SECOND, using)
    is_known = not event._state.adding
    events.apply(delivery, event, remote)
    return _store(event, event.state, event.error, using) if is_known else event.state


def _locked(event: WebhookEvent, using: str, **waiting: Any) -> Delivery | None:
    own: dict[str, Any] = {"using": using, "account": event.account, "environment": event.environment, **waiting}
    names: dict[str, Any] = {"delivery_id": event.kaspi_delivery_id, "external_order_id": event.external_order_id}
    found = (lock(**own, **{name: value}) for name, value in names.items() if value)
    return next((delivery for delivery in found if delivery), None)


def _ask_kaspi(delivery: Delivery) -> None:
    """Schedule a GET for a locked delivery that Kaspi has an id for: its own word decides."""
    if delivery.delivery_id:
        status.ask_kaspi(delivery)
        delivery.save(update_fields=["next_refresh_at", "updated_at"])


def _flag(delivery: Delivery, reason: Attention, *, occurrence: str) -> None:
    attention.flag(delivery, reason, occurrence=occurrence)
    delivery.save(update_fields=attention.COLUMNS)


def _store(event: WebhookEvent, state: str, error: str, using: str) -> str:
    event.state, event.error = state, error
    if event._state.adding:
        events.insert(event, using=using)
    else:
        event.save(using=using, update_fields=["delivery", "state", "error", "applied_at"])
    return state


def _fail(event: WebhookEvent, err: Exception, using: str) -> str:
    """Make an event that broke a dead letter, where staff see it; return its state."""
    error = failures.describe(err)
    logger.error("event failed: event=%s error=%s", event.event_id, error)
    dead = WebhookEvent.objects.using(using).filter(pk=event.pk, state__in=WebhookEvent.DEAD_LETTERS)
    dead.update(state=State.FAILED, error=error)
    return State.FAILED


def _keep_unapplied(event: WebhookEvent, remote: RemoteEvent, err: Exception, using: str) -> str:
    """Store the event alone. Raises `EventNotStored`, or the first error, when the row itself is refused."""
    if isinstance(err, EventNotStored):
        raise err
    state, error = events.why_unusable(remote) or (State.PARKED, LOCKED)
    if not is_lock_timeout(err):
        state, error = State.FAILED, failures.describe(err)
    logger.error("event not applied: event=%s error=%s", event.event_id, error)
    try:
        return durably(partial(_store_alone, event, state, error, using), using=using, waits_again_within_s=0)
    except EventNotStored:  # another copy failed in the same moment
        known = _count_again(event, using)
        if known is None:
            raise
        return known


def _store_alone(event: WebhookEvent, state: str, error: str, using: str) -> str:
    event.pk, event._state.adding, event.delivery, event.applied_at = None, True, None, None
    with limited_waits(using, seconds=LAST_WAIT_S):
        if state == State.FAILED:
            _ask_unless_locked(event, using)
        return _store(event, state, error, using)


def _ask_unless_locked(event: WebhookEvent, using: str) -> None:
    """Schedule a GET for the delivery that the event names; one that is locked is left to its holder."""
    own = {"account": event.account, "environment": event.environment}
    named: dict[str, Any] = {**own, "delivery_id": event.kaspi_delivery_id}
    if event.kaspi_delivery_id and (delivery := lock(using=using, wait=False, **named)):
        Delivery.objects.using(using).filter(**named).update(next_refresh_at=status.now_of(delivery))


def _count_again(event: WebhookEvent, using: str) -> str | None:
    """Count a redelivery, and return the event's state; None when it has not been stored yet."""
    return durably(partial(_receive_again, event, using), using=using, waits_again_within_s=0)


def _receive_again(event: WebhookEvent, using: str) -> str | None:
    """Record a redelivery with one UPDATE; the first stays, and what differs in meaning is flagged."""
    with limited_waits(using, seconds=LAST_WAIT_S):
        return _record_again(event, using)


def _record_again(event: WebhookEvent, using: str) -> str | None:
    rows = _same(event, using)
    first = rows.first()
    if first is None:
        return None
    changes: dict[str, Any] = {"received_count": F("received_count") + 1, "attempt": event.attempt}
    if not first.received_count:
        changes |= _test_that_came(event)
    elif _meaning(first) != _meaning(event):
        logger.error("event differs from its first delivery: event=%s", event.event_id)
        changes |= {"state": State.CONFLICT, "error": OTHER_DATA}
        if delivery := _locked(first, using, within_s=LAST_WAIT_S):
            _ask_kaspi(delivery)
    rows.update(**changes)
    return str(changes.get("state", first.state))


def _test_that_came(event: WebhookEvent) -> dict[str, Any]:
    """Return the columns of a test event that was expected: it takes no effect, and shows what was unreadable."""
    unusable = events.why_unusable(read_event(event.body.encode()))
    names = ("type", "body", "kaspi_delivery_id", "external_order_id", "occurred_at", "received_at")
    columns = {name: getattr(event, name) for name in names}
    return {**columns, "state": State.IGNORED, "error": unusable[1] if unusable else TEST}


def _same(event: WebhookEvent, using: str) -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.using(using).filter(
        account=event.account, environment=event.environment, event_id=event.event_id
    )


def _meaning(event: WebhookEvent) -> tuple[object, object] | None:
    try:
        raw = read_event(event.body.encode()).raw
    except MalformedEvent:  # stored by a version that read more
        return None
    return raw.get("type"), raw.get("data")


def _unpark_alone(event: WebhookEvent, using: str) -> bool:
    try:
        return durably(partial(_unpark, event, using), using=using)
    except Exception as err:
        if is_away(err):
            raise
        _fail(event, err, using)
        return False


def _unpark(event: WebhookEvent, using: str) -> bool:
    delivery = _locked(event, using, wait=False)
    if delivery is None:
        return False
    if event.external_order_id not in {"", delivery.external_order_id}:
        _flag(delivery, Attention.FOREIGN_DELIVERY, occurrence=event.external_order_id)
        return _give_up(event, FOREIGN, using)
    if not linking.adopt(delivery, event.kaspi_delivery_id):
        _flag(delivery, Attention.SECOND_PARCEL, occurrence=event.kaspi_delivery_id)
        return _give_up(event, SECOND, using)
    linking.unpark(delivery)
    return True


def _give_up(event: WebhookEvent, error: str, using: str) -> bool:
    parked = WebhookEvent.objects.using(using).filter(pk=event.pk, state=State.PARKED)
    parked.update(state=State.CONFLICT, error=error)
    return False
