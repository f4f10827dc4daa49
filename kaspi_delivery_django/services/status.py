"""The one place where a delivery's status changes. The caller holds the delivery's lock."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kaspi_delivery_django.client.types import HistoryEntry, RemoteDelivery, is_word
from kaspi_delivery_django.lifecycle import ACCEPTED, CANCELLED, PICKED_UP, RANKS, STATUSES, Standing, Verdict, judge
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import attention, calls, clock, generations, notices, statements, unknown_statuses
from kaspi_delivery_django.services.transactions import home

OWN_WORD = "Kaspi's own answer"
MAX_HISTORY = 100
LONGEST_PROMISE = timedelta(days=365)
MIDDLE_RANK = RANKS[ACCEPTED]  # where an unknown status stands among others of its second
REFRESH = StatusChange.Source.REFRESH
FINAL = ("final_at", "final_asked_at")
STANDING = ("status", "status_at", "next_refresh_at", "blanked_at", *FINAL, *attention.COLUMNS)
MIRRORED = (
    "delivery_id",
    "tracking_url",
    "pickup_by",
    "delivery_by",
    "raw",
    "cancel_requested_at",
    "cancel_reason",
    *STANDING,
)


@dataclass(frozen=True, kw_only=True)
class News:
    """A status that somebody tells us. `at` is Kaspi's time; None when none can be believed."""

    status: str
    source: StatusChange.Source
    at: datetime | None = None
    note: str = ""
    event: WebhookEvent | None = None
    before: str | None = None


def weigh(delivery: Delivery, news: News) -> Verdict:
    """Return what the news means for the delivery."""
    return judge(delivery.standing, Standing(news.status, news.at))


def apply(delivery: Delivery, news: News, verdict: Verdict) -> None:
    """Do what the verdict asks for; the caller saves the delivery (STANDING). Repeated news leaves no trace."""
    if verdict is Verdict.ADVANCE:
        _move(delivery, news)
    elif verdict is not Verdict.REPEAT:
        _keep(delivery, news)
    if verdict in {Verdict.CONTRADICTION, Verdict.UNKNOWN}:
        ask_kaspi(delivery)


def save(delivery: Delivery, columns: Sequence[str] = MIRRORED) -> None:
    """Write what Kaspi says of a locked delivery, and what follows from it. Raises `Delivery.DoesNotExist`."""
    if not statements.update(delivery, columns, using=home()):
        raise Delivery.DoesNotExist("the delivery was pruned or deleted meanwhile")


def correct(delivery: Delivery, news: News) -> None:
    """Take Kaspi's own word, backwards too, and leave a record that says so. The caller saves the delivery."""
    verdict, was_cancelled = weigh(delivery, news), delivery.status == CANCELLED
    if verdict in {Verdict.STALE, Verdict.CONTRADICTION, Verdict.UNKNOWN}:
        _move(delivery, News(status=news.status, source=news.source, note=OWN_WORD))
    elif verdict is Verdict.ADVANCE:
        _move(delivery, news)
    attention.clear(delivery, attention.OF_NEWS)
    if was_cancelled and delivery.is_live:
        _flag_revived(delivery)


def _flag_revived(delivery: Delivery) -> None:
    """Ask a person about a parcel that was thought cancelled: it is not wanted, or there are two now."""
    if generations.has_successor(delivery):
        attention.flag(delivery, Attention.SECOND_PARCEL, occurrence=delivery.delivery_id or "")
    elif delivery.cancel_requested_at:
        attention.flag(delivery, Attention.CANCEL_REFUSED)


def withdraw(delivery: Delivery, *, is_announced: bool = True) -> bool:
    """Cancel a locked delivery of which nothing was sent: no courier was booked, and none will be.

    Its create is abandoned. The shop is notified as of any other change, unless `is_announced` is False. The caller
    saves the delivery. Returns False, and changes nothing, when Kaspi may have heard of it.
    """
    if delivery.delivery_id is not None or not calls.finish(calls.never_sent(delivery), ApiCall.State.ABANDONED):
        return False
    delivery.unwanted_since = None
    attention.clear(delivery, attention.OF_BOOKING)
    close_unbooked(delivery, is_announced=is_announced)
    return True


def close_unbooked(delivery: Delivery, *, is_announced: bool = True) -> None:
    """Give a locked delivery that Kaspi does not have the status "cancelled". The caller saves it (STANDING)."""
    news = News(status=CANCELLED, source=StatusChange.Source.CANCEL, note=delivery.cancel_reason)
    _move(delivery, news, is_announced=is_announced)


def reopen(delivery: Delivery) -> None:
    """Let Kaspi's own word count for a locked delivery that was cancelled unsent: Kaspi has it after all.

    Its history goes on from "cancelled".
    """
    if delivery.delivery_id is None and delivery.status == CANCELLED:
        delivery.status, delivery.status_at = "", None
        delivery.reopened_from = CANCELLED  # type: ignore[attr-defined]  # until its next step is recorded


def begin(delivery: Delivery, news: News) -> StatusChange:
    """Give a delivery that was just linked, and that nobody has said anything of, its first status.

    The caller saves both the delivery and the change that is returned, many at once.
    """
    change = _change(delivery, news, applied=True)
    delivery.status, delivery.status_at = news.status, change.at
    delivery.next_refresh_at = next_refresh(delivery)
    return change


def keep_history(
    delivery: Delivery, entries: Sequence[HistoryEntry], received_at: datetime, *, about_to: str = ""
) -> None:
    """Add the steps of Kaspi's own history that are missing; each status stands once, at most 100 rows a delivery.

    The documented statuses that are still to come keep their room. The step to `about_to`, the status that the delivery
    is about to take, is left to `correct`.
    """
    known = list(delivery.history.values_list("to_status", flat=True))
    to_come = {*STATUSES, about_to}.difference(known, [""])  # each will need a row
    room, missing = MAX_HISTORY - len(known) - len(to_come), list[News]()
    seen, before = {*known, about_to}, ""
    for step in in_order(entries, received_at):
        if step.status not in seen:
            seen.add(step.status)
            note = "" if delivery.blanked_at else step.notes  # what was forgotten stays forgotten
            missing.append(News(status=step.status, source=REFRESH, at=step.timestamp, note=note, before=before))
        before = step.status
    for news in missing[-room:] if room > 0 else ():
        _record(delivery, news, applied=False, before=news.before)


def in_order(entries: Sequence[HistoryEntry], received_at: datetime) -> list[HistoryEntry]:
    """Return Kaspi's steps, the oldest first, whichever way it lists them.

    Steps of one second go by rank. A step whose time cannot be true gets that of the step before it.
    """
    usable = [step for step in entries if is_word(step.status)]
    stamped = [step for step in usable if clock.plausible(step.timestamp, received_at)]
    if len(stamped) > 1 and _place(stamped[0]) > _place(stamped[-1]):
        usable.reverse()
    dated, at = list[HistoryEntry](), min((step.timestamp or received_at for step in stamped), default=received_at)
    for step in usable:
        at = clock.plausible(step.timestamp, received_at) or at
        dated.append(replace(step, timestamp=at))
    return sorted(dated, key=_place)


def _place(step: HistoryEntry) -> tuple[float, int]:
    at = step.timestamp.timestamp() if step.timestamp else 0.0
    return at, RANKS.get(step.status, MIDDLE_RANK)


def mirror(delivery: Delivery, remote: RemoteDelivery) -> None:
    """Take what Kaspi says of the courier, apart from the status. The caller saves the delivery."""
    delivery.tracking_url = remote.tracking_url[:500] or delivery.tracking_url
    soon = clock.now() + LONGEST_PROMISE
    delivery.pickup_by = clock.plausible(remote.eta.pickup_by, soon) or delivery.pickup_by
    delivery.delivery_by = clock.plausible(remote.eta.delivery_by, soon) or delivery.delivery_by
    raw = {} if delivery.blanked_at else remote.raw  # what was forgotten stays forgotten
    delivery.raw = json.dumps(raw) if raw else ""  # escaped: a column of any character set holds it


def now_of(delivery: Delivery) -> datetime:
    """Return the time that a locked delivery's due times go by: the database's; this process's for one not locked."""
    return delivery.locked_at or clock.now()


def next_refresh(delivery: Delivery, *, after: timedelta | None = None) -> datetime | None:
    """Return when Kaspi is to be asked if it stays silent; never, once a delivery has ended."""
    if not delivery.is_open or not delivery.delivery_id:
        return None
    now = now_of(delivery)
    return now + (after or unknown_statuses.pause(delivery, now))


def ask_kaspi(delivery: Delivery) -> None:
    """Schedule a GET at once. The caller saves the delivery."""
    delivery.next_refresh_at = now_of(delivery)


def reschedule(delivery: Delivery, *, after: timedelta | None = None) -> None:
    """Set when Kaspi is to be asked if it stays silent. The caller saves the delivery.

    A GET that is due already stays due, also when the delivery has ended meanwhile: only Kaspi's answer
    settles a contradiction. With `after`, one that is planned earlier stays as well.
    """
    if is_refresh_due(delivery):
        return
    planned, earlier = next_refresh(delivery, after=after), delivery.next_refresh_at
    delivery.next_refresh_at = min(planned, earlier) if planned and earlier and after else planned


def is_refresh_due(delivery: Delivery) -> bool:
    """Tell whether Kaspi is to be asked as soon as the worker can."""
    return delivery.next_refresh_at is not None and delivery.next_refresh_at <= now_of(delivery)


def _move(delivery: Delivery, news: News, *, is_announced: bool = True) -> None:
    was_picked_up = delivery.status in PICKED_UP
    _drop_kept(delivery, news)
    change = _record(delivery, news, applied=True, is_announced=is_announced)
    delivery.status, delivery.status_at = news.status, change.at
    delivery.reopened_from = ""  # type: ignore[attr-defined]  # the step is recorded
    unknown_statuses.forget(delivery)
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
        notices.announce(change)


def _drop_kept(delivery: Delivery, news: News) -> None:
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


def _keep(delivery: Delivery, news: News) -> None:
    if not delivery.history.filter(to_status=news.status).exists():
        _record(delivery, news, applied=False)


def _record(
    delivery: Delivery, news: News, *, applied: bool, before: str | None = None, is_announced: bool = True
) -> StatusChange:
    change = _change(delivery, news, applied=applied, before=before)
    if not is_announced:
        change.notified_at = change.created_at
    statements.insert(change, using=home())
    return change


def _change(delivery: Delivery, news: News, *, applied: bool, before: str | None = None) -> StatusChange:
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
        notify_after=notices.first_due(now),
        notified_at=now if applied and not notices.has_listeners(is_creation=is_creation) else None,
    )
