"""The one place where a delivery's status changes. The caller holds the delivery's lock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.types import HistoryEntry, is_word
from kaspi_delivery_django.lifecycle import CANCELLED, PICKED_UP, TERMINAL, Standing, Verdict, judge
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import attention, calls, clock, generations, notices, statements
from kaspi_delivery_django.services.transactions import after_commit, home

OWN_WORD = "Kaspi's own answer"
STANDING = ("status", "status_at", "next_refresh_at", "blanked_at", *attention.COLUMNS)
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
        delivery.next_refresh_at = clock.now()


def save(delivery: Delivery, columns: Sequence[str] = MIRRORED) -> None:
    """Write what Kaspi says of a locked delivery, and what follows from it. Raises `Delivery.DoesNotExist`."""
    if not statements.update(delivery, columns, using=delivery._state.db or home()):
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


def keep_history(delivery: Delivery, entries: Sequence[HistoryEntry], received_at: datetime) -> None:
    """Add the steps of Kaspi's own history that we never heard of; known ones never double.

    The step to the status that the delivery is about to take is left to `correct`.
    """
    known = set(delivery.history.values_list("to_status", flat=True))
    steps = [step for step in entries if is_word(step.status) and clock.plausible(step.timestamp, received_at)]
    steps.sort(key=lambda step: step.timestamp or received_at)
    for before, step in pairwise([HistoryEntry(status="", timestamp=None), *steps[:-1]]):
        if step.status not in known:
            known.add(step.status)
            source = StatusChange.Source.REFRESH
            note = "" if delivery.blanked_at else step.notes  # what was forgotten stays forgotten
            missed = News(status=step.status, source=source, at=step.timestamp, note=note)
            _record(delivery, missed, applied=False, before=before.status)


def next_refresh(delivery: Delivery, *, after: timedelta | None = None) -> datetime | None:
    """Return when Kaspi is to be asked if it stays silent; never, once a delivery has ended."""
    if delivery.status in TERMINAL or not delivery.delivery_id:
        return None
    return clock.now() + (after or conf.current().refresh_after)


def _move(delivery: Delivery, news: News, *, is_announced: bool = True) -> None:
    was_picked_up = delivery.status in PICKED_UP
    change = _record(delivery, news, applied=True, is_announced=is_announced)
    delivery.status, delivery.status_at = news.status, change.at
    delivery.reopened_from = ""  # type: ignore[attr-defined]  # the step is recorded
    delivery.next_refresh_at = next_refresh(delivery)
    if news.status not in TERMINAL:
        delivery.blanked_at = None  # it is on the road: what comes now is to be blanked when it has ended
    elif delivery.cancel_requested_at:
        calls.finish(calls.idle_cancels(delivery), ApiCall.State.DONE)
    if news.status in PICKED_UP and not was_picked_up and delivery.cancel_requested_at:
        attention.flag(delivery, Attention.CANCEL_REFUSED, even_if_cleared=True)  # by the same news, if it is over
    if news.status in PICKED_UP:
        attention.clear(delivery, attention.OF_EDITING)
    if news.status in TERMINAL:
        _end(delivery)
    if change.notified_at is None:
        after_commit(notices.notify, change, using=delivery._state.db)


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
    statements.insert(change, using=delivery._state.db or home())
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
        notify_after=now + notices.PATIENCE,
        notified_at=now if applied and not notices.has_listeners(is_creation=is_creation) else None,
    )
