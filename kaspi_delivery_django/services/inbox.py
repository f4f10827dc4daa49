"""Receive Kaspi's webhooks: commit each event before it is answered, and apply it once.

Events that could not be applied then are applied later: parked ones by the worker, dead letters when staff replay them.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from django.db import InterfaceError, OperationalError, models
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext

from kaspi_delivery_django.client import MalformedEvent, read_event
from kaspi_delivery_django.client.types import RemoteEvent
from kaspi_delivery_django.client.webhooks import ascii_text
from kaspi_delivery_django.conf import Account
from kaspi_delivery_django.exceptions import CannotAcknowledge
from kaspi_delivery_django.models import Delivery, WebhookEvent
from kaspi_delivery_django.services import clock, db, errors
from kaspi_delivery_django.services.deliveries import events
from kaspi_delivery_django.services.deliveries.events import EventNotStored
from kaspi_delivery_django.services.locks import limited_sqlite_waits, limited_waits, lock

logger = logging.getLogger(__name__)
State, Reason = WebhookEvent.State, WebhookEvent.Reason
LOCK_WAIT_S = 3  # Kaspi waits for 5 s
LAST_WAIT_S = 1  # after it
READ_AHEAD = 20


class InsideTransaction(Exception):
    """The view runs inside a transaction, so the event could be rolled back after a 2xx."""


def receive(account: Account, remote: RemoteEvent, body: bytes) -> str:
    """Store a verified event and apply it; return the state it is in, once that is committed.

    If applying it fails, the event alone is stored, as failed; if its delivery is locked for longer than
    `LOCK_WAIT_S`, as parked, and the worker applies it. Raises `InsideTransaction`, or the database's error
    when nothing could be stored.
    """
    if db.is_nested():
        raise InsideTransaction
    event = _new_event(account, remote, body)
    with limited_sqlite_waits(seconds=LOCK_WAIT_S):
        try:
            work = partial(_store_and_apply, event, remote)
            return db.run_in_transaction(work, waits_again_within_s=LOCK_WAIT_S / 3)
        except Exception as err:
            if _cannot_store(err):
                raise
            return _count_again(event) or _store_unapplied(event, remote, err)


def expect_test(account: Account, event_id: str) -> None:
    """Store the id of a test event that Kaspi was asked to send; the event will change no delivery.

    An event that came before the id was known is taken off the dead letters.
    """
    event = WebhookEvent(
        account=account.alias,
        environment=account.environment,
        event_id=event_id,
        attempt=0,
        received_count=0,
        state=State.IGNORED,
        error=Reason.EXPECTED_TEST,
        received_at=clock.EARLIEST,
    )
    try:
        db.run_in_transaction(partial(events.insert, event))
    except EventNotStored:
        end_test(event)


def end_test(event: WebhookEvent) -> None:
    """Take a test event that came before its id was known off the dead letters; keep an unreadable one's reason."""
    dead = events.same_event(event).filter(state__in=WebhookEvent.DEAD_LETTERS)
    dead.exclude(state=State.FAILED).update(error=Reason.TEST)
    dead.update(state=State.IGNORED)


def replay_event(event: WebhookEvent) -> str:
    """Apply an event again that is failed, parked or in conflict; return the state it is in then.

    Its signature and its timestamp were verified when it came. An event in another state is left
    alone, and so is one that came with two different contents: which one is true is unknown.
    Raises `OperationalError` or `InterfaceError` when the database cannot commit.
    """
    try:
        with db.atomic():
            return _replay_event(event)
    except Exception as err:
        if db.is_unavailable(err):
            raise
        return _fail(event, err)


def acknowledge_event(event: WebhookEvent) -> None:
    """Take an event that staff have dealt with off the dead letters.

    It is never applied afterwards, and is pruned like the others. Raises `CannotAcknowledge`.
    """
    dead = WebhookEvent.objects.filter(pk=event.pk, state__in=WebhookEvent.DEAD_LETTERS)
    if not dead.update(state=State.ACKNOWLEDGED):
        raise CannotAcknowledge(gettext("It needs no manual review."))


def apply_parked(*, limit: int) -> int:
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
    was_locked = Q(error=Reason.LOCKED) & Q(Exists(by_either))  # a second parcel, or another order's, is flagged now
    is_known = Q(Exists(by_order)) | (Q(external_order_id="") & Q(Exists(by_id))) | was_locked
    parked = WebhookEvent.objects.parked().filter(is_known)
    waiting = list(parked.order_by("pk")[:limit])
    return sum(_apply_contained(event) for event in waiting)


def replay_dead_letters(*, states: Sequence[str], batch: int, dry_run: bool = False) -> Iterator[Counter[str]]:
    """Replay the events in these states, oldest first; yield how many each batch left in which state.

    Each is looked at once. One that met a deadlock twice is `deferred`: it stays for the next run. A dry
    run counts the states they are in.
    """
    waiting = WebhookEvent.objects.filter(state__in=states)
    if dry_run:
        yield Counter(dict(waiting.order_by().values_list("state").annotate(models.Count("pk"))))
        return
    for keys in _batches(waiting, batch):
        yield Counter(_replay_contained(event) for event in waiting.filter(pk__in=keys).order_by("pk"))


def _new_event(account: Account, remote: RemoteEvent, body: bytes) -> WebhookEvent:
    now = clock.now()
    return WebhookEvent(
        account=account.alias,
        environment=account.environment,
        event_id=remote.event_id,
        type=remote.type,
        attempt=remote.attempt,
        body=ascii_text(body),
        kaspi_delivery_id=remote.delivery_id,
        external_order_id=remote.external_order_id,
        occurred_at=clock.plausible(remote.occurred_at, now),
        received_at=now,
    )


def _cannot_store(err: Exception) -> bool:
    """Return whether a second try cannot succeed: the database is unavailable, or SQLite's lock is held."""
    return db.is_unavailable(err) and (not db.is_lock_timeout(err) or db.db_connection().vendor == "sqlite")


def _store_and_apply(event: WebhookEvent, remote: RemoteEvent) -> str:
    event.pk, event._state.adding = None, True  # a first try may have been rolled back
    delivery = events.lock_delivery(event, within_s=LOCK_WAIT_S)
    if delivery is not None:  # PostgreSQL's limit goes on to the transaction's end
        return events.apply_or_store(event, remote, delivery)
    with limited_waits(seconds=LOCK_WAIT_S):
        return events.apply_or_store(event, remote, None)


def _store_unapplied(event: WebhookEvent, remote: RemoteEvent, err: Exception) -> str:
    """Store the event alone. Raises `EventNotStored`, or the first error, when the row itself is refused."""
    if isinstance(err, EventNotStored):
        raise err
    state, error = events.unusable_reason(remote) or (State.PARKED, Reason.LOCKED)
    if not db.is_lock_timeout(err):
        state, error = State.FAILED, errors.describe(err)
    logger.error("event not applied: event=%s error=%s", event.event_id, error)
    try:
        return db.run_in_transaction(partial(_store_alone, event, state, error), waits_again_within_s=0)
    except EventNotStored:  # another copy failed in the same moment
        known = _count_again(event)
        if known is None:
            raise
        return known


def _store_alone(event: WebhookEvent, state: str, error: str) -> str:
    event.pk, event._state.adding, event.delivery, event.applied_at = None, True, None, None
    with limited_waits(seconds=LAST_WAIT_S):
        if state == State.FAILED:
            _schedule_refresh_unless_locked(event)
        return events.store(event, state, error)


def _schedule_refresh_unless_locked(event: WebhookEvent) -> None:
    """Schedule a GET for the delivery that the event names; skip a locked one."""
    own = {"account": event.account, "environment": event.environment}
    named: dict[str, Any] = {**own, "delivery_id": event.kaspi_delivery_id}
    if event.kaspi_delivery_id and (delivery := lock(wait=False, **named)):
        Delivery.objects.filter(**named).update(next_refresh_at=clock.now_of(delivery))


def _count_again(event: WebhookEvent) -> str | None:
    """Count a redelivery, and return the event's state; None when it has not been stored yet."""
    return db.run_in_transaction(partial(_receive_again, event), waits_again_within_s=0)


def _receive_again(event: WebhookEvent) -> str | None:
    """Record a redelivery with one UPDATE; the first content stays, another content is flagged."""
    with limited_waits(seconds=LAST_WAIT_S):
        return _record_again(event)


def _record_again(event: WebhookEvent) -> str | None:
    rows = events.same_event(event)
    first = rows.first()
    if first is None:
        return None
    changes: dict[str, Any] = {"received_count": F("received_count") + 1, "attempt": event.attempt}
    if not first.received_count:
        changes |= _columns_of_test(event)
    elif _meaning(first) != _meaning(event):
        logger.error("event differs from its first delivery: event=%s", event.event_id)
        changes |= {"state": State.CONFLICT, "error": Reason.OTHER_DATA}
        if delivery := events.lock_delivery(first, within_s=LAST_WAIT_S):
            events.schedule_refresh(delivery)
    rows.update(**changes)
    return str(changes.get("state", first.state))


def _columns_of_test(event: WebhookEvent) -> dict[str, Any]:
    """Return the columns of a requested test event: ignored, with the reason if it is unreadable."""
    unusable = events.unusable_reason(read_event(event.body.encode()))
    names = ("type", "body", "kaspi_delivery_id", "external_order_id", "occurred_at", "received_at")
    columns = {name: getattr(event, name) for name in names}
    return {**columns, "state": State.IGNORED, "error": unusable[1] if unusable else Reason.TEST}


def _meaning(event: WebhookEvent) -> tuple[object, object] | None:
    try:
        raw = read_event(event.body.encode()).raw
    except MalformedEvent:  # stored by a version that accepted more
        return None
    return raw.get("type"), raw.get("data")


def _replay_event(seen: WebhookEvent) -> str:
    delivery = events.lock_delivery(seen)
    event = WebhookEvent.objects.select_for_update().get(pk=seen.pk)
    if not event.is_replayable:
        return event.state
    return events.apply_or_store(event, read_event(event.body.encode()), delivery)


def _fail(event: WebhookEvent, err: Exception) -> str:
    """Make an event that broke a dead letter, where staff see it; return its state."""
    error = errors.describe(err)
    logger.error("event failed: event=%s error=%s", event.event_id, error)
    dead = WebhookEvent.objects.filter(pk=event.pk, state__in=WebhookEvent.DEAD_LETTERS)
    dead.update(state=State.FAILED, error=error)
    return State.FAILED


def _apply_contained(event: WebhookEvent) -> bool:
    try:
        return db.run_in_transaction(partial(_apply_parked, event))
    except Exception as err:
        if db.is_unavailable(err):
            raise
        _fail(event, err)
        return False


def _apply_parked(event: WebhookEvent) -> bool:
    delivery = events.lock_delivery(event, wait=False)
    if delivery is None:
        return False
    if mismatch := events.link_or_flag(delivery, event):
        parked = WebhookEvent.objects.filter(pk=event.pk, state=State.PARKED)
        parked.update(state=State.CONFLICT, error=mismatch)
        return False
    events.apply_parked(delivery)
    return True


def _batches(waiting: models.QuerySet[WebhookEvent], size: int) -> Iterator[list[int]]:
    """Yield the keys, read for many batches at once: no index has the states' oldest."""
    last = 0
    keys = waiting.order_by("pk").values_list("pk", flat=True)
    while found := list(keys.filter(pk__gt=last)[: size * READ_AHEAD]):
        yield from (found[start : start + size] for start in range(0, len(found), size))
        last = found[-1]


def _replay_contained(event: WebhookEvent) -> str:
    try:
        return db.run_in_transaction(partial(replay_event, event))
    except (OperationalError, InterfaceError) as err:
        if not db.is_transient(err):
            raise
        return "deferred"
