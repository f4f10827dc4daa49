"""Forget what is no longer needed: old events, and the personal data of deliveries that ended long ago.

Both go batch by batch, each in a transaction of its own: stopping in the middle, or running twice
at once, loses nothing and does nothing twice.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from django.db import models
from django.db.models import QuerySet

from kaspi_delivery_django import lifecycle
from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, PendingAction, StatusChange, WebhookEvent
from kaspi_delivery_django.services import clock, events, status
from kaspi_delivery_django.services.settlement import SECOND_PARCEL
from kaspi_delivery_django.services.transactions import durably, home

PLACE = ("address", "name", "phone", "notes")
PERSONAL = (
    *(f"{side}_{part}" for side in ("pickup", "dropoff") for part in PLACE),
    "phone_tail",
    "parcel_description",
    "cancel_reason",
    "raw",
)
OUR_NOTES = (status.OWN_WORD, events.UNUSABLE_TIME)


def prune_events(*, received_before: datetime, batch: int, dry_run: bool = False) -> Iterator[int]:
    """Delete events that are dealt with, and yield how many each batch was. The history stays."""
    using = home()
    old = _old_events(received_before, using)
    if dry_run:
        yield old.count()
        return
    for keys in _batches(old, batch):
        yield durably(partial(_delete_events, old.filter(pk__in=keys)), using=using)


def prune_attempts(*, failed_before: datetime, batch: int, dry_run: bool = False) -> Iterator[int]:
    """Delete old failed attempts, and yield how many each batch was. The call keeps its last error."""
    using = home()
    old = FailedAttempt.objects.using(using).filter(at__lt=failed_before)
    if dry_run:
        yield old.count()
        return
    for keys in _batches(old, batch):
        yield durably(partial(_delete, old.filter(pk__in=keys)), using=using)


def blank_personal_data(*, ended_before: datetime, batch: int, dry_run: bool = False) -> Iterator[int]:
    """Blank phones, names, addresses and what may repeat them, and yield how many deliveries each batch was.

    Ids, times, statuses and the parcel's figures stay.
    """
    using = home()
    ended = _to_blank(ended_before, using)
    if dry_run:
        yield ended.count()
        return
    for keys in _batches(ended, batch):
        yield durably(partial(_blank, ended.filter(pk__in=keys)), using=using)


def _old_events(received_before: datetime, using: str) -> QuerySet[WebhookEvent]:
    """Return old ones that are dealt with, and whose change the shop's code has taken."""
    untold = StatusChange.objects.filter(event=models.OuterRef("pk"), notified_at__isnull=True, applied=True)
    old = WebhookEvent.objects.using(using).filter(received_at__lt=received_before)
    return old.exclude(state__in=WebhookEvent.DEAD_LETTERS).exclude(models.Exists(untold))


def _to_blank(ended_before: datetime, using: str) -> QuerySet[Delivery]:
    """Return ended ones, with nothing left to do, that still hold personal data."""
    over = models.Q(status__in=lifecycle.TERMINAL, status_at__lt=ended_before)
    never_booked = models.Q(status="", delivery_id__isnull=True, updated_at__lt=ended_before)
    busy_calls = ApiCall.objects.filter(delivery=models.OuterRef("pk"), state__in=ApiCall.UNFINISHED)
    untold = StatusChange.objects.filter(delivery=models.OuterRef("pk"), notified_at__isnull=True, applied=True)
    ended = Delivery.objects.using(using).filter(over | never_booked, blanked_at__isnull=True, attention="")
    return ended.exclude(models.Exists(busy_calls)).exclude(models.Exists(untold))


def _batches(rows: QuerySet[models.Model], size: int) -> Iterator[list[int]]:
    last = 0
    while keys := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:size]):
        yield keys
        last = keys[-1]


def _delete(old: QuerySet[FailedAttempt]) -> int:
    return old.delete()[0]


def _delete_events(old: QuerySet[WebhookEvent]) -> int:
    return old.delete()[1].get(WebhookEvent._meta.label, 0)


def _blank(ended: QuerySet[Delivery]) -> int:
    locked = list(ended.select_for_update().order_by("pk").values_list("pk", flat=True))
    keys = list(ended.filter(pk__in=locked).values_list("pk", flat=True))  # what a person did while we waited counts
    calls = ApiCall.objects.using(ended.db).filter(delivery__in=keys)
    calls.exclude(error_code=SECOND_PARCEL).update(error_message="")
    calls.update(payload="")
    FailedAttempt.objects.using(ended.db).filter(call__delivery__in=keys).update(error_message="")
    PendingAction.objects.using(ended.db).filter(delivery__in=keys).update(reason="")
    history = StatusChange.objects.using(ended.db).filter(delivery__in=keys)
    history.exclude(note__in=OUR_NOTES).update(note="")
    same = Delivery.objects.using(ended.db).filter(pk__in=keys)
    return same.update(**dict.fromkeys(PERSONAL, ""), blanked_at=clock.now())
