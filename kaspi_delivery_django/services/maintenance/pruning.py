"""Delete old events and attempts, and anonymize the personal data of deliveries that ended long ago."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

from django.db import models
from django.db.models import QuerySet

from kaspi_delivery_django import conf, statuses
from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, PendingAction, StatusChange, WebhookEvent
from kaspi_delivery_django.models.deliveries import CUSTOMER_KEYS
from kaspi_delivery_django.services import clock, extensions
from kaspi_delivery_django.services.db import OldRows, batches, run_in_transaction
from kaspi_delivery_django.services.deliveries import payloads, status
from kaspi_delivery_django.services.outbox.results import SECOND_PARCEL

PERSONAL = (
    *payloads.PLACES,
    "phone_tail",
    *CUSTOMER_KEYS,
    "parcel_description",
    "cancel_reason",
    "return_reason",
    "raw",
)
OUR_NOTES = (status.CONFIRMED_BY_KASPI, WebhookEvent.Reason.UNUSABLE_TIME)


def old_rows(before: datetime) -> Iterator[tuple[str, OldRows]]:
    """Yield the rows to delete, with their name. A call keeps the error of its deleted attempt.

    Ours come first, so that the error of an optional app does not keep them.
    """
    yield "events", OldRows(rows=_old_events(before), by="received_at")
    yield "failed attempts", OldRows(rows=FailedAttempt.objects.filter(at__lt=before), by="at")
    for added in extensions.installed():
        if added.old_rows:
            yield added.rows_name, added.old_rows(before)


def anonymize_personal_data(*, ended_before: datetime, batch: int, dry_run: bool = False) -> Iterator[int]:
    """Clear phones, names, addresses and texts that may repeat them, and yield the number of each batch's deliveries.

    Ids, times, statuses, the parcel's measures, and orders' names that are not personal are kept.
    """
    for ended, by in (_ended(ended_before), "status_at"), (_never_booked(ended_before), "updated_at"):
        if dry_run:
            yield ended.count()
            continue
        for keys in batches(ended, batch, by=by):
            yield run_in_transaction(partial(_anonymize, ended, keys))


def _old_events(received_before: datetime) -> QuerySet[WebhookEvent]:
    """Return old events that are resolved, and whose status change the shop was notified of. The history is kept."""
    unnotified = StatusChange.objects.filter(event=models.OuterRef("pk"), notified_at__isnull=True, applied=True)
    old = WebhookEvent.objects.filter(received_at__lt=received_before)
    return old.exclude(state__in=WebhookEvent.DEAD_LETTERS).exclude(models.Exists(unnotified))


def _ended(ended_before: datetime) -> QuerySet[Delivery]:
    """Return deliveries that Kaspi or staff have ended."""
    final = {*statuses.TERMINAL, *filter(conf.is_final, conf.current().final_statuses)}
    old = _idle().filter(status_at__lt=ended_before)
    ended = old.filter(models.Q(status__in=final) | models.Q(final_at__lt=ended_before))
    return ended.order_by("blanked_at", "status_at", "pk")  # the index's own order, null as the first may be


def _never_booked(untouched_since: datetime) -> QuerySet[Delivery]:
    """Return deliveries that were never booked."""
    untouched = _idle().filter(status="", delivery_id__isnull=True, updated_at__lt=untouched_since)
    return untouched.order_by("updated_at", "pk")


def _idle() -> QuerySet[Delivery]:
    """Return deliveries with nothing left to do that still have personal data."""
    busy_calls = ApiCall.objects.filter(delivery=models.OuterRef("pk"), state__in=ApiCall.UNFINISHED)
    unnotified = StatusChange.objects.filter(delivery=models.OuterRef("pk"), notified_at__isnull=True, applied=True)
    idle = Delivery.objects.filter(blanked_at__isnull=True, attention="")
    return idle.exclude(models.Exists(busy_calls)).exclude(models.Exists(unnotified))


def _anonymize(ended: QuerySet[Delivery], keys: Sequence[int]) -> int:
    locked = list(ended.filter(pk__in=keys).select_for_update().order_by("pk").values_list("pk", flat=True))
    keys = list(ended.filter(pk__in=locked).values_list("pk", flat=True))  # without those changed before the lock
    calls = ApiCall.objects.filter(delivery__in=keys)
    calls.exclude(error_code=SECOND_PARCEL).exclude(error_message="").update(error_message="")
    calls.exclude(payload="").update(payload="")
    attempts = FailedAttempt.objects.filter(call__delivery__in=keys)
    attempts.exclude(error_message="").update(error_message="")
    PendingAction.objects.filter(delivery__in=keys).exclude(reason="").update(reason="")
    history = StatusChange.objects.filter(delivery__in=keys)
    history.exclude(note__in=("", *OUR_NOTES)).update(note="")
    for added in extensions.installed():
        added.anonymize(keys)
    same = Delivery.objects.filter(pk__in=keys)
    same.filter(label_is_personal=True).exclude(order_label="").update(order_label="", label_key="")
    return same.update(**dict.fromkeys(PERSONAL, ""), blanked_at=clock.now())
