"""The only place where a delivery's status changes; when the next GET of each status is due.

The caller holds the delivery's lock. An unknown status is refreshed ever less often.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.types import HistoryEntry, RemoteDelivery, is_word
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.models.deliveries import FLAG_UNKNOWN_AFTER
from kaspi_delivery_django.services import clock, fast_sql
from kaspi_delivery_django.services.deliveries import attention, notifications
from kaspi_delivery_django.statuses import (
    ACCEPTED,
    CANCELLED,
    PICKED_UP,
    RANKS,
    STATUSES,
    StatusSnapshot,
    Transition,
    transition,
)

CONFIRMED_BY_KASPI = "Kaspi's own answer"
MAX_ETA = timedelta(days=365)
MAX_INTERVAL = timedelta(days=1)
MAX_STEPS = 100
MIDDLE_RANK = RANKS[ACCEPTED]  # the rank of an unknown status among others of the same second
State, Kind, Source = ApiCall.State, ApiCall.Kind, StatusChange.Source
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
    """A status and its source. `at` is Kaspi's time, None if implausible.

    An event whose type names another status than its data is not `is_consistent`.
    """

    status: str
    source: StatusChange.Source
    at: datetime | None = None
    note: str = ""
    event: WebhookEvent | None = None
    is_consistent: bool = True


def transition_of(delivery: Delivery, update: StatusUpdate) -> Transition:
    """Return what the update means for the delivery."""
    current, incoming = StatusSnapshot(delivery.status, delivery.status_at), StatusSnapshot(update.status, update.at)
    return transition(current, incoming, is_consistent=update.is_consistent)


def apply(delivery: Delivery, update: StatusUpdate) -> None:
    """Apply the update by its transition. The caller saves the delivery (STATUS_COLUMNS). A repeat changes nothing."""
    found = transition_of(delivery, update)
    if found is Transition.ADVANCE:
        _move(delivery, update)
    elif found is not Transition.REPEAT and not delivery.history.filter(to_status=update.status).exists():
        _record_change(delivery, update, applied=False)
    if found in {Transition.CONTRADICTION, Transition.UNKNOWN}:
        delivery.next_refresh_at = clock.now_of(delivery)


def save(delivery: Delivery, columns: Sequence[str] = MIRROR_COLUMNS) -> None:
    """Save a locked delivery's columns. Raises `Delivery.DoesNotExist` if it was deleted."""
    if not fast_sql.update(delivery, columns):
        raise Delivery.DoesNotExist("the delivery was pruned or deleted meanwhile")


def correct(delivery: Delivery, update: StatusUpdate) -> None:
    """Apply Kaspi's answer to a GET, backwards too, and record it. The caller saves the delivery."""
    found, was_cancelled = transition_of(delivery, update), delivery.status == CANCELLED
    if found is Transition.ADVANCE:
        _move(delivery, update)
    elif found is not Transition.REPEAT:
        _move(delivery, StatusUpdate(status=update.status, source=update.source, note=CONFIRMED_BY_KASPI))
    attention.clear(delivery, attention.OF_CONTRADICTION)
    if was_cancelled and delivery.is_live:
        _flag_revived(delivery)


def cancel_unsent(delivery: Delivery, *, notifies: bool = True) -> bool:
    """Cancel a locked delivery whose create was never sent, and abandon its create. The caller saves the delivery.

    The shop gets the signal, unless `notifies` is False. Returns False, and changes nothing, if Kaspi may have booked
    the delivery.
    """
    never_sent = ApiCall.objects.never_sent(delivery)
    if delivery.delivery_id is not None or not never_sent.finish(State.ABANDONED, clock.now_of(delivery)):
        return False
    delivery.unwanted_since = None
    attention.clear(delivery, attention.OF_BOOKING)
    mark_cancelled(delivery, notifies=notifies)
    return True


def abandon(delivery: Delivery) -> None:
    """Abandon the stopped calls of a locked delivery that is not linked. Saves the delivery."""
    stopped = ApiCall.objects.filter(delivery=delivery, state__in=ApiCall.STOPPED)
    stopped.finish(State.ABANDONED, clock.now_of(delivery))
    delivery.attention, delivery.raised_reasons, delivery.unwanted_since = "", "", None
    if delivery.cancel_requested_at and not delivery.delivery_id and not delivery.status:
        mark_cancelled(delivery)
    save(delivery, (*STATUS_COLUMNS, "unwanted_since"))


def mark_cancelled(delivery: Delivery, *, notifies: bool = True) -> None:
    """Set the status of a locked delivery that Kaspi does not have to "cancelled". The caller saves it."""
    update = StatusUpdate(status=CANCELLED, source=Source.CANCEL, note=delivery.cancel_reason)
    _move(delivery, update, notifies=notifies)


def reopen(delivery: Delivery) -> None:
    """Reset the status of a locked delivery that was cancelled unsent, and that Kaspi has after all.

    Its history continues from "cancelled".
    """
    if delivery.delivery_id is None and delivery.status == CANCELLED:
        delivery.status, delivery.status_at = "", None
        delivery.reopened_from = CANCELLED  # type: ignore[attr-defined]  # until its next step is recorded


def first_change(delivery: Delivery, update: StatusUpdate) -> StatusChange:
    """Set the first status of a delivery that was just linked. The caller saves it and the returned change."""
    change = _new_change(delivery, update, applied=True)
    delivery.status, delivery.status_at = update.status, change.at
    delivery.next_refresh_at = next_refresh(delivery)
    return change


def mirror(delivery: Delivery, remote: RemoteDelivery) -> None:
    """Copy Kaspi's answer to the delivery, except its status. The caller saves the delivery."""
    delivery.tracking_url = remote.tracking_url[:500] or delivery.tracking_url
    soon = clock.now_of(delivery) + MAX_ETA
    delivery.pickup_by = clock.plausible(remote.eta.pickup_by, soon) or delivery.pickup_by
    delivery.delivery_by = clock.plausible(remote.eta.delivery_by, soon) or delivery.delivery_by
    raw = {} if delivery.blanked_at else remote.raw  # an anonymized delivery stays anonymized
    delivery.raw = json.dumps(raw) if raw else ""  # escaped: a column of any character set can store it


def add_missing_steps(
    delivery: Delivery, entries: Sequence[HistoryEntry], received_at: datetime, *, about_to: str = ""
) -> None:
    """Add missing steps of Kaspi's history; each status occurs once, in at most 100 rows for each delivery.

    Rows are reserved for the documented statuses that are still to come. `correct` adds the step to `about_to`, the
    status that the delivery is about to get.
    """
    known = list(delivery.history.values_list("to_status", flat=True))
    reserved = {*STATUSES, about_to}.difference(known, [""])
    free, missing = MAX_STEPS - len(known) - len(reserved), list[tuple[StatusUpdate, str]]()
    seen, before = {*known, about_to}, ""
    for step in _in_order(entries, received_at):
        if step.status not in seen:
            seen.add(step.status)
            note = "" if delivery.blanked_at else step.notes  # an anonymized delivery stays anonymized
            update = StatusUpdate(status=step.status, source=Source.REFRESH, at=step.timestamp, note=note)
            missing.append((update, before))
        before = step.status
    for update, came_from in missing[-free:] if free > 0 else ():
        _record_change(delivery, update, applied=False, before=came_from)


def next_refresh(delivery: Delivery, *, after: timedelta | None = None) -> datetime | None:
    """Return when the delivery is refreshed next if Kaspi sends no webhook; None once it has ended."""
    if not delivery.is_open or not delivery.delivery_id:
        return None
    now = clock.now_of(delivery)
    return now + (after or refresh_interval(delivery, now))


def reschedule(delivery: Delivery, *, after: timedelta | None = None) -> None:
    """Schedule the next GET. The caller saves the delivery.

    A GET that is due stays due, even if the delivery has ended: only Kaspi's answer resolves a contradiction.
    With `after`, a GET that is scheduled earlier stays as well.
    """
    if is_refresh_due(delivery):
        return
    planned, earlier = next_refresh(delivery, after=after), delivery.next_refresh_at
    delivery.next_refresh_at = min(planned, earlier) if planned and earlier and after else planned


def is_refresh_due(delivery: Delivery) -> bool:
    """Return whether a GET is due."""
    return delivery.next_refresh_at is not None and delivery.next_refresh_at <= clock.now_of(delivery)


def refresh_interval(delivery: Delivery, now: datetime) -> timedelta:
    """Return the time until the next refresh: REFRESH_AFTER, doubled each time for an unknown status.

    It grows to a day, and ends when the unknown status is to be flagged.
    """
    usual = conf.current().refresh_after
    if not delivery.has_unknown_status:
        return usual
    age = delivery.age_of_status(now)
    longer = max(usual, min(age, MAX_INTERVAL))
    left = FLAG_UNKNOWN_AFTER - age
    return min(longer, left) if left > timedelta(0) else longer


def _in_order(entries: Sequence[HistoryEntry], received_at: datetime) -> list[HistoryEntry]:
    """Sort Kaspi's steps, which it may list forwards or backwards: by time, those of one second by rank.

    A step without a plausible time gets that of the step before it.
    """
    usable = [step for step in entries if is_word(step.status)]
    stamped = [step for step in usable if clock.plausible(step.timestamp, received_at)]
    if len(stamped) > 1 and _position(stamped[0]) > _position(stamped[-1]):
        usable.reverse()
    dated, at = list[HistoryEntry](), min((step.timestamp or received_at for step in stamped), default=received_at)
    for step in usable:
        at = clock.plausible(step.timestamp, received_at) or at
        dated.append(replace(step, timestamp=at))
    return sorted(dated, key=_position)


def _position(step: HistoryEntry) -> tuple[float, int]:
    at = step.timestamp.timestamp() if step.timestamp else 0.0
    return at, RANKS.get(step.status, MIDDLE_RANK)


def _flag_revived(delivery: Delivery) -> None:
    """Flag a live delivery that was taken for cancelled: it is unwanted, or the order has two now."""
    # Its cancels did not hold: one with the same reason is sent again, under a new key.
    ApiCall.objects.of(delivery, Kind.CANCEL).filter(state=State.DONE).finish(State.ABANDONED, clock.now_of(delivery))
    if delivery.has_successor():
        attention.flag(delivery, Attention.SECOND_PARCEL, occurrence=delivery.delivery_id or "")
    elif delivery.cancel_requested_at:
        attention.flag(delivery, Attention.CANCEL_REFUSED)


def _move(delivery: Delivery, update: StatusUpdate, *, notifies: bool = True) -> None:
    was_picked_up = delivery.status in PICKED_UP
    _delete_unapplied(delivery, update)
    change = _record_change(delivery, update, applied=True, notifies=notifies)
    delivery.status, delivery.status_at = update.status, change.at
    delivery.reopened_from = ""  # type: ignore[attr-defined]  # the step is recorded
    attention.reset_unknown_status(delivery)
    reschedule(delivery)
    if delivery.is_open:
        delivery.blanked_at = None  # new personal data is anonymized when the delivery has ended
    elif delivery.cancel_requested_at:
        idle = (State.DUE, State.UNKNOWN, State.STUCK)
        cancels = ApiCall.objects.of(delivery, Kind.CANCEL).filter(state__in=idle)
        cancels.finish(State.DONE, clock.now_of(delivery))
    if update.status in PICKED_UP and not was_picked_up and delivery.cancel_requested_at:
        attention.flag(delivery, Attention.CANCEL_REFUSED, even_if_cleared=True)  # `_end` may clear it
    if update.status in PICKED_UP:
        attention.clear(delivery, attention.OF_EDIT)
    if not delivery.is_open:
        _end(delivery)
    if change.notified_at is None:
        notifications.notify_after_commit(change)


def _delete_unapplied(delivery: Delivery, update: StatusUpdate) -> None:
    """Delete a step that was kept as a contradiction and is applied now: each status occurs once in the history.

    Only a flagged delivery, or one with a GET under way, can have one; others are spared the statement.
    """
    is_answer = update.source == Source.REFRESH
    if is_answer or delivery.attention or is_refresh_due(delivery):
        StatusChange.objects.filter(delivery=delivery, to_status=update.status, applied=False).delete()


def _end(delivery: Delivery) -> None:
    """Clear flags that a delivery's end resolves. A second parcel stays, and a contradiction until Kaspi answers."""
    if delivery.attention in attention.OF_REFRESH:
        unanswered = ApiCall.objects.of(delivery, Kind.REFRESH).filter(state=State.STUCK)
        unanswered.finish(State.ABANDONED, clock.now_of(delivery))
    attention.clear(delivery, attention.OVER_AT_END)


def _record_change(
    delivery: Delivery, update: StatusUpdate, *, applied: bool, before: str | None = None, notifies: bool = True
) -> StatusChange:
    change = _new_change(delivery, update, applied=applied, before=before)
    if not notifies:
        change.notified_at = change.created_at
    fast_sql.insert(change)
    return change


def _new_change(delivery: Delivery, update: StatusUpdate, *, applied: bool, before: str | None = None) -> StatusChange:
    reopened_from = getattr(delivery, "reopened_from", "")
    now, came_from = clock.now_of(delivery), (reopened_from or delivery.status) if before is None else before
    is_creation = delivery.delivery_id is not None and (not came_from or bool(reopened_from))
    return StatusChange(
        delivery=delivery,
        from_status=came_from,
        to_status=update.status,
        at=update.at or now.replace(microsecond=0),
        source=update.source,
        event=update.event,
        note=update.note,
        applied=applied,
        created_at=now,
        notify_after=notifications.first_due(now),
        notified_at=now if applied and not notifications.has_listeners(is_creation=is_creation) else None,
    )
