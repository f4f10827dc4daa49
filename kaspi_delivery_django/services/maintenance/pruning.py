"""Delete old events, and anonymize the personal data of deliveries that ended long ago."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db import models
from django.db.models import QuerySet

from kaspi_delivery_django import conf, statuses
from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, PendingAction, StatusChange, WebhookEvent
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import db_alias, run_in_transaction
from kaspi_delivery_django.services.deliveries import status
from kaspi_delivery_django.services.outbox.results import SECOND_PARCEL

PLACE = ("address", "name", "phone", "notes")


PERSONAL = (
    *(f"{side}_{part}" for side in ("pickup", "dropoff") for part in PLACE),
    "phone_tail",
    "parcel_description",
    "cancel_reason",
    "raw",
)
OUR_NOTES = (status.CONFIRMED_BY_KASPI, WebhookEvent.Reason.UNUSABLE_TIME)


def prune_events(*, received_before: datetime, batch: int, dry_run: bool = False) -> Iterator[int]:
    """Delete events that are dealt with, and yield how many each batch was. The history stays."""
    using = db_alias()
    old = _old_events(received_before, using)
    if dry_run:
        yield old.count()
        return
    for keys in _batches(old, batch, by="received_at"):
        yield run_in_transaction(partial(_delete_events, old.filter(pk__in=keys)), using=using)


def prune_attempts(*, failed_before: datetime, batch: int, dry_run: bool = False) -> Iterator[int]:
    """Delete old failed attempts, and yield how many each batch was. The call keeps its last error."""
    using = db_alias()
    old = FailedAttempt.objects.using(using).filter(at__lt=failed_before).order_by("at", "pk")
    if dry_run:
        yield old.count()
        return
    for keys in _batches(old, batch, by="at"):
        yield run_in_transaction(partial(_delete, old.filter(pk__in=keys)), using=using)


def anonymize_personal_data(*, ended_before: datetime, batch: int, dry_run: bool = False) -> Iterator[int]:
    """Blank phones, names, addresses and what may repeat them, and yield how many deliveries each batch was.

    Ids, times, statuses and the parcel's figures stay.
    """
    using = db_alias()
    for ended, by in (_ended(ended_before, using), "status_at"), (_never_booked(ended_before, using), "updated_at"):
        if dry_run:
            yield ended.count()
            continue
        for keys in _batches(ended, batch, by=by):
            yield run_in_transaction(partial(_anonymize, ended, keys), using=using)


def _old_events(received_before: datetime, using: str) -> QuerySet[WebhookEvent]:
    """Return old ones that are dealt with, and whose change the shop's code has taken."""
    untold = StatusChange.objects.filter(event=models.OuterRef("pk"), notified_at__isnull=True, applied=True)
    old = WebhookEvent.objects.using(using).filter(received_at__lt=received_before)
    done = old.exclude(state__in=WebhookEvent.DEAD_LETTERS).exclude(models.Exists(untold))
    return done.order_by("received_at", "pk")


def _ended(ended_before: datetime, using: str) -> QuerySet[Delivery]:
    """Return those that Kaspi has ended, or staff."""
    final = {*statuses.TERMINAL, *filter(conf.is_final, conf.current().final_statuses)}
    old = _idle(using).filter(status_at__lt=ended_before)
    ended = old.filter(models.Q(status__in=final) | models.Q(final_at__lt=ended_before))
    return ended.order_by("blanked_at", "status_at", "pk")  # the index's own order, null as the first may be


def _never_booked(untouched_since: datetime, using: str) -> QuerySet[Delivery]:
    """Return those that came to nothing."""
    untouched = _idle(using).filter(status="", delivery_id__isnull=True, updated_at__lt=untouched_since)
    return untouched.order_by("updated_at", "pk")


def _idle(using: str) -> QuerySet[Delivery]:
    """Return those with nothing left to do that still hold personal data."""
    busy_calls = ApiCall.objects.filter(delivery=models.OuterRef("pk"), state__in=ApiCall.UNFINISHED)
    untold = StatusChange.objects.filter(delivery=models.OuterRef("pk"), notified_at__isnull=True, applied=True)
    idle = Delivery.objects.using(using).filter(blanked_at__isnull=True, attention="")
    return idle.exclude(models.Exists(busy_calls)).exclude(models.Exists(untold))


def _batches(rows: QuerySet[Any], size: int, *, by: str) -> Iterator[list[int]]:
    """Yield the keys of rows that come in the order of a column: what is left behind is not read again."""
    waiting, rest = rows.values_list("pk", by), models.Q()
    while found := list(waiting.filter(rest)[:size]):
        yield [key for key, _ in found]
        last, at = found[-1]
        later = models.Q(**{f"{by}__gt": at}) | models.Q(pk__gt=last)
        rest = models.Q(**{f"{by}__gte": at}) & later


def _delete(old: QuerySet[FailedAttempt]) -> int:
    return old.delete()[0]


def _delete_events(old: QuerySet[WebhookEvent]) -> int:
    return old.delete()[1].get(WebhookEvent._meta.label, 0)


def _anonymize(ended: QuerySet[Delivery], keys: Sequence[int]) -> int:
    locked = list(ended.filter(pk__in=keys).select_for_update().order_by("pk").values_list("pk", flat=True))
    keys = list(ended.filter(pk__in=locked).values_list("pk", flat=True))  # what a person did while we waited counts
    calls = ApiCall.objects.using(ended.db).filter(delivery__in=keys)
    calls.exclude(error_code=SECOND_PARCEL).exclude(error_message="").update(error_message="")
    calls.exclude(payload="").update(payload="")
    attempts = FailedAttempt.objects.using(ended.db).filter(call__delivery__in=keys)
    attempts.exclude(error_message="").update(error_message="")
    PendingAction.objects.using(ended.db).filter(delivery__in=keys).exclude(reason="").update(reason="")
    history = StatusChange.objects.using(ended.db).filter(delivery__in=keys)
    history.exclude(note__in=("", *OUR_NOTES)).update(note="")
    same = Delivery.objects.using(ended.db).filter(pk__in=keys)
    return same.update(**dict.fromkeys(PERSONAL, ""), blanked_at=clock.now())
