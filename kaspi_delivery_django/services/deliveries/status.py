"""The one place where a delivery's status changes. The caller holds the delivery's lock."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kaspi_delivery_django.client.types import RemoteDelivery
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import clock, fast_sql
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.services.deliveries import attention, calls, notifications, refreshing
from kaspi_delivery_django.services.deliveries.refreshing import (
    is_refresh_due,
    next_refresh,
    reschedule,
    schedule_refresh_now,
)
from kaspi_delivery_django.statuses import (
    CANCELLED,
    PICKED_UP,
    StatusSnapshot,
    Transition,
    transition,
)

CONFIRMED_BY_KASPI = "Kaspi's own answer"
MAX_ETA = timedelta(days=365)
REFRESH = StatusChange.Source.REFRESH
FINAL_COLUMNS = ("final_at", "final_asked_at")
STATUS_COLUMNS = ("status", "status_at", "next_refresh_at", "blanked_at", *FINAL_COLUMNS, *attention.COLUMNS)


MIRROR_COLUMNS = (
    "delivery_id",
    "tracking_url",
    "pickup_by",
    "delivery_by",
    "raw",
    "cancel_requested_at",
    "cancel_reason",
    *STATUS_COLUMNS,
)


@dataclass(frozen=True, kw_only=True)
class StatusUpdate:
    """A status that somebody tells us. `at` is Kaspi's time; None when none can be believed."""

    status: str
    source: StatusChange.Source
    at: datetime | None = None
    note: str = ""
    event: WebhookEvent | None = None
    before: str | None = None


def transition_of(delivery: Delivery, news: StatusUpdate) -> Transition:
    """Return what the news means for the delivery."""
    return transition(delivery.status_snapshot, StatusSnapshot(news.status, news.at))


def apply(delivery: Delivery, news: StatusUpdate, verdict: Transition) -> None:
    """Do what the verdict asks for; the caller saves the delivery (STANDING). Repeated news leaves no trace."""
    if verdict is Transition.ADVANCE:
        _move(delivery, news)
    elif verdict is not Transition.REPEAT:
        _keep(delivery, news)
    if verdict in {Transition.CONTRADICTION, Transition.UNKNOWN}:
        schedule_refresh_now(delivery)


def save(delivery: Delivery, columns: Sequence[str] = MIRROR_COLUMNS) -> None:
    """Write what Kaspi says of a locked delivery, and what follows from it. Raises `Delivery.DoesNotExist`."""
    if not fast_sql.update(delivery, columns, using=db_alias()):
        raise Delivery.DoesNotExist("the delivery was pruned or deleted meanwhile")


def correct(delivery: Delivery, news: StatusUpdate) -> None:
    """Take Kaspi's own word, backwards too, and leave a record that says so. The caller saves the delivery."""
    verdict, was_cancelled = transition_of(delivery, news), delivery.status == CANCELLED
    if verdict in {Transition.STALE, Transition.CONTRADICTION, Transition.UNKNOWN}:
        _move(delivery, StatusUpdate(status=news.status, source=news.source, note=CONFIRMED_BY_KASPI))
    elif verdict is Transition.ADVANCE:
        _move(delivery, news)
    attention.clear(delivery, attention.OF_NEWS)
    if was_cancelled and delivery.is_live:
        _flag_revived(delivery)


def _flag_revived(delivery: Delivery) -> None:
    """Ask a person about a parcel that was thought cancelled: it is not wanted, or there are two now."""
    if delivery.has_successor():
        attention.flag(delivery, Attention.SECOND_PARCEL, occurrence=delivery.delivery_id or "")
    elif delivery.cancel_requested_at:
        attention.flag(delivery, Attention.CANCEL_REFUSED)


def cancel_unsent(delivery: Delivery, *, is_announced: bool = True) -> bool:
    """Cancel a locked delivery of which nothing was sent: no courier was booked, and none will be.

    Its create is abandoned. The shop is notified as of any other change, unless `is_announced` is False. The caller
    saves the delivery. Returns False, and changes nothing, when Kaspi may have heard of it.
    """
    if delivery.delivery_id is not None or not calls.finish(calls.never_sent(delivery), ApiCall.State.ABANDONED):
        return False
    delivery.unwanted_since = None
    attention.clear(delivery, attention.OF_BOOKING)
    mark_cancelled(delivery, is_announced=is_announced)
    return True


def mark_cancelled(delivery: Delivery, *, is_announced: bool = True) -> None:
    """Give a locked delivery that Kaspi does not have the status "cancelled". The caller saves it (STANDING)."""
    news = StatusUpdate(status=CANCELLED, source=StatusChange.Source.CANCEL, note=delivery.cancel_reason)
    _move(delivery, news, is_announced=is_announced)


def reopen(delivery: Delivery) -> None:
    """Let Kaspi's own word count for a locked delivery that was cancelled unsent: Kaspi has it after all.

    Its history goes on from "cancelled".
    """
    if delivery.delivery_id is None and delivery.status == CANCELLED:
        delivery.status, delivery.status_at = "", None
        delivery.reopened_from = CANCELLED  # type: ignore[attr-defined]  # until its next step is recorded


def first_change(delivery: Delivery, news: StatusUpdate) -> StatusChange:
    """Give a delivery that was just linked, and that nobody has said anything of, its first status.

    The caller saves both the delivery and the change that is returned, many at once.
    """
    change = _change(delivery, news, applied=True)
    delivery.status, delivery.status_at = news.status, change.at
    delivery.next_refresh_at = next_refresh(delivery)
    return change


def mirror(delivery: Delivery, remote: RemoteDelivery) -> None:
    """Take what Kaspi says of the courier, apart from the status. The caller saves the delivery."""
    delivery.tracking_url = remote.tracking_url[:500] or delivery.tracking_url
    soon = clock.now() + MAX_ETA
    delivery.pickup_by = clock.plausible(remote.eta.pickup_by, soon) or delivery.pickup_by
    delivery.delivery_by = clock.plausible(remote.eta.delivery_by, soon) or delivery.delivery_by
    raw = {} if delivery.blanked_at else remote.raw  # what was forgotten stays forgotten
    delivery.raw = json.dumps(raw) if raw else ""  # escaped: a column of any character set holds it


def _move(delivery: Delivery, news: StatusUpdate, *, is_announced: bool = True) -> None:
    was_picked_up = delivery.status in PICKED_UP
    _drop_kept(delivery, news)
    change = record_change(delivery, news, applied=True, is_announced=is_announced)
    delivery.status, delivery.status_at = news.status, change.at
    delivery.reopened_from = ""  # type: ignore[attr-defined]  # the step is recorded
    refreshing.reset_unknown(delivery)
    reschedule(delivery)
    if delivery.is_open:
        delivery.blanked_at = None  # it is on the road: what comes now is to be blanked when it has ended
    elif delivery.cancel_requested_at:
        calls.finish(calls.idle_cancels(delivery), ApiCall.State.DONE)
    if news.status in PICKED_UP and not was_picked_up and delivery.cancel_requested_at:
        attention.flag(delivery, Attention.CANCEL_REFUSED, even_if_cleared=True)  # by the same news, if it is over
    if news.status in PICKED_UP:
        attention.clear(delivery, attention.OF_EDITING)
    if not delivery.is_open:
        _end(delivery)
    if change.notified_at is None:
        notifications.notify_after_commit(change)


def _drop_kept(delivery: Delivery, news: StatusUpdate) -> None:
    """Delete a step that was kept as a contradiction and is taken now: each status stands once in the history.

    Only a delivery that is flagged, or that Kaspi is asked about, can have one; others are spared the statement.
    """
    is_answer = news.source == StatusChange.Source.REFRESH
    if is_answer or delivery.attention or is_refresh_due(delivery):
        StatusChange.objects.filter(delivery=delivery, to_status=news.status, applied=False).delete()


def _end(delivery: Delivery) -> None:
    """Take what is over off the list. A second parcel stays, and a contradiction, until Kaspi has answered."""
    if delivery.attention in attention.OF_ASKING:
        unanswered = calls.calls_of(delivery, ApiCall.Kind.REFRESH).filter(state=ApiCall.State.STUCK)
        calls.finish(unanswered, ApiCall.State.ABANDONED)
    attention.clear(delivery, attention.OVER)


def _keep(delivery: Delivery, news: StatusUpdate) -> None:
    if not delivery.history.filter(to_status=news.status).exists():
        record_change(delivery, news, applied=False)


def record_change(
    delivery: Delivery, news: StatusUpdate, *, applied: bool, before: str | None = None, is_announced: bool = True
) -> StatusChange:
    change = _change(delivery, news, applied=applied, before=before)
    if not is_announced:
        change.notified_at = change.created_at
    fast_sql.insert(change, using=db_alias())
    return change


def _change(delivery: Delivery, news: StatusUpdate, *, applied: bool, before: str | None = None) -> StatusChange:
    reopened_from = getattr(delivery, "reopened_from", "")
    now, came_from = clock.now(), (reopened_from or delivery.status) if before is None else before
    is_creation = delivery.delivery_id is not None and (not came_from or bool(reopened_from))
    return StatusChange(
        delivery=delivery,
        from_status=came_from,
        to_status=news.status,
        at=news.at or now.replace(microsecond=0),
        source=news.source,
        event=news.event,
        note=news.note,
        applied=applied,
        created_at=now,
        notify_after=notifications.first_due(now),
        notified_at=now if applied and not notifications.has_listeners(is_creation=is_creation) else None,
    )
