"""Apply events again: parked events whose delivery is known now, and dead letters that staff replay."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from django.db import InterfaceError, OperationalError, models, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext

from kaspi_delivery_django.client import read_event
from kaspi_delivery_django.exceptions import CannotAcknowledge
from kaspi_delivery_django.models import Attention, Delivery, WebhookEvent
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.db import db_alias, is_transient, is_unavailable, run_in_transaction
from kaspi_delivery_django.services.deliveries import events
from kaspi_delivery_django.services.inbox.applying import apply_or_store, flag, lock_delivery

logger = logging.getLogger(__name__)

State, Reason = WebhookEvent.State, WebhookEvent.Reason


def replay_event(event: WebhookEvent) -> str:
    """Apply an event again that is failed, parked or in conflict; return the state it is in then.

    Its signature and its timestamp were verified when it came. An event in another state is left
    alone, and so is one that came with two different contents: which one is true is unknown.
    Raises `OperationalError` or `InterfaceError` when the database cannot commit.
    """
    using = db_alias()
    try:
        with transaction.atomic(using=using):
            return _replay_event(event, using)
    except Exception as err:
        if is_unavailable(err):
            raise
        return _fail(event, err, using)


def acknowledge_event(event: WebhookEvent) -> None:
    """Take an event that staff have dealt with off the dead letters.

    It is never applied afterwards, and is pruned like the others. Raises `CannotAcknowledge`.
    """
    using = db_alias()
    dead = WebhookEvent.objects.using(using).filter(pk=event.pk, state__in=WebhookEvent.DEAD_LETTERS)
    if not dead.update(state=State.ACKNOWLEDGED):
        raise CannotAcknowledge(gettext("It needs no manual review."))


def apply_parked(*, limit: int, using: str) -> int:
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
    parked = WebhookEvent.objects.using(using).parked().filter(is_known)
    waiting = list(parked.order_by("pk")[:limit])
    return sum(_apply_contained(event, using) for event in waiting)


def _replay_event(seen: WebhookEvent, using: str) -> str:
    delivery = lock_delivery(seen, using)
    event = WebhookEvent.objects.using(using).select_for_update().get(pk=seen.pk)
    if not event.is_replayable:
        return event.state
    return apply_or_store(event, read_event(event.body.encode()), delivery, using)


def _fail(event: WebhookEvent, err: Exception, using: str) -> str:
    """Make an event that broke a dead letter, where staff see it; return its state."""
    error = errors.describe(err)
    logger.error("event failed: event=%s error=%s", event.event_id, error)
    dead = WebhookEvent.objects.using(using).filter(pk=event.pk, state__in=WebhookEvent.DEAD_LETTERS)
    dead.update(state=State.FAILED, error=error)
    return State.FAILED


def _apply_contained(event: WebhookEvent, using: str) -> bool:
    try:
        return run_in_transaction(partial(_apply_parked, event, using), using=using)
    except Exception as err:
        if is_unavailable(err):
            raise
        _fail(event, err, using)
        return False


def _apply_parked(event: WebhookEvent, using: str) -> bool:
    delivery = lock_delivery(event, using, wait=False)
    if delivery is None:
        return False
    if event.external_order_id not in {"", delivery.external_order_id}:
        flag(delivery, Attention.FOREIGN_DELIVERY, occurrence=event.external_order_id)
        return _abandon(event, Reason.FOREIGN, using)
    if not events.link_and_apply(delivery, event.kaspi_delivery_id):
        flag(delivery, Attention.SECOND_PARCEL, occurrence=event.kaspi_delivery_id)
        return _abandon(event, Reason.SECOND_PARCEL, using)
    events.apply_parked(delivery)
    return True


def _abandon(event: WebhookEvent, error: str, using: str) -> bool:
    parked = WebhookEvent.objects.using(using).filter(pk=event.pk, state=State.PARKED)
    parked.update(state=State.CONFLICT, error=error)
    return False


READ_AHEAD = 20


def replay_dead_letters(*, states: Sequence[str], batch: int, dry_run: bool = False) -> Iterator[Counter[str]]:
    """Replay the events in these states, oldest first; yield how many each batch left in which state.

    Each is looked at once. One that met a deadlock twice is `deferred`: it stays for the next run. A dry
    run counts the states they are in.
    """
    using = db_alias()
    waiting = WebhookEvent.objects.using(using).filter(state__in=states)
    if dry_run:
        yield Counter(dict(waiting.order_by().values_list("state").annotate(models.Count("pk"))))
        return
    for keys in _batches(waiting, batch):
        yield Counter(_replay_contained(event, using) for event in waiting.filter(pk__in=keys).order_by("pk"))


def _batches(waiting: models.QuerySet[WebhookEvent], size: int) -> Iterator[list[int]]:
    """Yield the keys, read for many batches at once: no index has the states' oldest."""
    last = 0
    keys = waiting.order_by("pk").values_list("pk", flat=True)
    while found := list(keys.filter(pk__gt=last)[: size * READ_AHEAD]):
        yield from (found[start : start + size] for start in range(0, len(found), size))
        last = found[-1]


def _replay_contained(event: WebhookEvent, using: str) -> str:
    try:
        return run_in_transaction(partial(replay_event, event), using=using)
    except (OperationalError, InterfaceError) as err:
        if not is_transient(err):
            raise
        return "deferred"
