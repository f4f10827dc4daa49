"""Take in Kaspi's webhooks: committed before it is answered, and each event once."""

import logging
from functools import partial
from typing import Any

from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext

from kaspi_delivery_django.client import MalformedEvent, read_event
from kaspi_delivery_django.client.types import RemoteEvent
from kaspi_delivery_django.conf import Account
from kaspi_delivery_django.exceptions import CannotAcknowledge
from kaspi_delivery_django.models import Attention, Delivery, WebhookEvent
from kaspi_delivery_django.services import attention, clock, events, failures, linking, statements
from kaspi_delivery_django.services.transactions import durably, home, lock

logger = logging.getLogger(__name__)

State = WebhookEvent.State

FOREIGN = "the delivery belongs to another order"
SECOND = "a second parcel for a known order?"
NO_DELIVERY = "no delivery of ours"
TEST = "a test event"
UNKNOWN_TYPE = "an event type we do not know"
OTHER_DATA = "the same event id came with other data"


def receive(account: Account, remote: RemoteEvent, body: bytes) -> str:
    """Store a verified event and apply it; return the state it is in, once that is committed.

    If applying it fails, the event alone is stored, as failed. Raises `OperationalError` or
    `InterfaceError` when the database cannot commit: then nothing was stored.
    """
    using = home()
    event = _new_event(account, remote, body)
    try:
        return durably(partial(_take_in, event, remote, using), using=using)
    except (OperationalError, InterfaceError):
        raise
    except Exception as err:  # noqa: BLE001  # Kaspi gets its 2xx; a new event waits for a replay
        known = durably(partial(_receive_again, event, using), using=using)
        return known or _keep_failed(event, err, using)


def replay_event(event: WebhookEvent) -> str:
    """Apply an event again that is failed, parked or in conflict; return the state it is in then.

    Its signature and its timestamp were verified when it came. An event in another state is left
    alone, and so is one that came with two different contents: no replay can tell which is true.
    Raises `OperationalError` or `InterfaceError` when the database cannot commit.
    """
    using = event._state.db or home()
    try:
        with transaction.atomic(using=using):
            return _replay(event, using)
    except (OperationalError, InterfaceError):
        raise
    except Exception as err:  # noqa: BLE001  # it stays where it can be seen
        error = failures.describe(err)
        logger.error("event failed: event=%s error=%s", event.event_id, error)  # noqa: TRY400  # no data in logs
        failed = WebhookEvent.objects.using(using).filter(pk=event.pk, state__in=WebhookEvent.DEAD_LETTERS)
        failed.update(state=State.FAILED, error=error)
        return State.FAILED


def acknowledge_event(event: WebhookEvent) -> None:
    """Take an event off the list of dead letters: somebody has dealt with what it says.

    It takes no effect any more, and is pruned with the others. Raises `CannotAcknowledge`.
    """
    using = event._state.db or home()
    dead = WebhookEvent.objects.using(using).filter(pk=event.pk, state__in=WebhookEvent.DEAD_LETTERS)
    if not dead.update(state=State.ACKNOWLEDGED):
        raise CannotAcknowledge(gettext("Nothing asks for a person."))


def unpark_known(*, limit: int, using: str) -> int:
    """Apply parked events whose delivery has appeared since. Returns how many were applied."""
    known = Delivery.objects.filter(
        Q(delivery_id=OuterRef("kaspi_delivery_id")) | Q(delivery_id__isnull=True),
        account=OuterRef("account"),
        environment=OuterRef("environment"),
        external_order_id=OuterRef("external_order_id"),
    )
    parked = WebhookEvent.objects.using(using).parked().filter(Exists(known))
    waiting = list(parked.order_by("pk")[:limit])
    return sum(durably(partial(_unpark, event, using), using=using) for event in waiting)


def _new_event(account: Account, remote: RemoteEvent, body: bytes) -> WebhookEvent:
    return WebhookEvent(
        account=account.alias,
        environment=account.environment,
        event_id=remote.event_id,
        type=remote.type,
        attempt=remote.attempt,
        body=body.decode(),
        kaspi_delivery_id=remote.delivery_id,
        external_order_id=remote.external_order_id,
        occurred_at=clock.plausible(remote.occurred_at, clock.now()),
        received_at=clock.now(),
    )


def _take_in(event: WebhookEvent, remote: RemoteEvent, using: str) -> str:
    event.pk, event._state.adding = None, True  # a first try may have been rolled back
    return _place(event, remote, _locked(event, using), using)


def _replay(seen: WebhookEvent, using: str) -> str:
    delivery = _locked(seen, using)
    event = WebhookEvent.objects.using(using).select_for_update().get(pk=seen.pk)
    if event.state not in WebhookEvent.DEAD_LETTERS or event.error == OTHER_DATA:
        return event.state
    return _place(event, read_event(event.body.encode()), delivery, using)


def _place(event: WebhookEvent, remote: RemoteEvent, delivery: Delivery | None, using: str) -> str:
    """Apply the event to its locked delivery, or say why it cannot be; save it either way."""
    if not events.is_about_delivery(remote):
        return _store(event, State.IGNORED, UNKNOWN_TYPE, using)
    if events.is_test(remote, delivery):
        return _store(event, State.IGNORED, TEST, using)
    if delivery is None:
        return _store(event, State.PARKED, NO_DELIVERY, using)
    if delivery.external_order_id != remote.external_order_id:
        _flag(delivery, Attention.FOREIGN_DELIVERY, occurrence=remote.external_order_id)
        return _store(event, State.CONFLICT, FOREIGN, using)
    if not linking.adopt(delivery, remote.delivery_id):
        _flag(delivery, Attention.SECOND_PARCEL, occurrence=remote.delivery_id)
        return _store(event, State.PARKED, SECOND, using)
    is_known = not event._state.adding
    events.apply(delivery, event, remote)
    return _store(event, event.state, event.error, using) if is_known else event.state


def _locked(event: WebhookEvent, using: str) -> Delivery | None:
    own: dict[str, Any] = {"using": using, "account": event.account, "environment": event.environment}
    by_id = lock(**own, delivery_id=event.kaspi_delivery_id)
    return by_id or lock(**own, external_order_id=event.external_order_id)


def _flag(delivery: Delivery, reason: Attention, *, occurrence: str) -> None:
    attention.flag(delivery, reason, occurrence=occurrence)
    delivery.save(update_fields=attention.COLUMNS)


def _store(event: WebhookEvent, state: str, error: str, using: str) -> str:
    event.state, event.error = state, error
    if event._state.adding:
        statements.insert(event, using=using)
    else:
        event.save(using=using, update_fields=["delivery", "state", "error", "applied_at"])
    return state


def _keep_failed(event: WebhookEvent, err: Exception, using: str) -> str:
    error = failures.describe(err)
    logger.error("event failed: event=%s error=%s", event.event_id, error)
    try:
        return durably(partial(_store_failed, event, error, using), using=using)
    except IntegrityError:  # another copy failed in the same moment
        return durably(partial(_receive_again, event, using), using=using) or State.FAILED


def _store_failed(event: WebhookEvent, error: str, using: str) -> str:
    event.pk, event._state.adding, event.delivery, event.applied_at = None, True, None, None
    linked = Delivery.objects.using(using).filter(
        account=event.account, environment=event.environment, delivery_id=event.kaspi_delivery_id
    )
    linked.update(next_refresh_at=clock.now())
    return _store(event, State.FAILED, error, using)


def _receive_again(event: WebhookEvent, using: str) -> str | None:
    """Note a redelivery; the first stays, and what differs in meaning is flagged."""
    rows = WebhookEvent.objects.using(using).filter(
        account=event.account, environment=event.environment, event_id=event.event_id
    )
    rows.update(received_count=F("received_count") + 1, attempt=event.attempt)
    first = rows.select_related("delivery").first()
    if first is None:
        return None
    if _meaning(first) != _meaning(event):
        rows.update(error=OTHER_DATA)
        rows.exclude(state=State.PARKED).update(state=State.CONFLICT)
        logger.error("event differs from its first delivery: event=%s", event.event_id)
        return State.CONFLICT
    return first.state


def _meaning(event: WebhookEvent) -> tuple[object, object] | None:
    try:
        raw = read_event(event.body.encode()).raw
    except MalformedEvent:  # stored by a version that read more
        return None
    return raw["type"], raw.get("data")


def _unpark(event: WebhookEvent, using: str) -> bool:
    delivery = _locked(event, using)
    if delivery is None:
        return False
    if delivery.external_order_id != event.external_order_id:
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
