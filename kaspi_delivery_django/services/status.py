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
from kaspi_delivery_django.services.transactions import home

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
        ask_kaspi(delivery)


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
        attention.flag(delivery, Attention.SECOND_PARCEL)
    elif delivery.cancel_requested_at:
        attention.flag(delivery, Attention.CANCEL_REFUSED)


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


def ask_kaspi(delivery: Delivery) -> None:
    """Schedule a GET at once. The caller saves the delivery."""
    delivery.next_refresh_at = clock.now()


def reschedule(delivery: Delivery, *, after: timedelta | None = None) -> None:
    """Set when Kaspi is to be asked if it stays silent. The caller saves the delivery.

    A GET that is due already stays due, also when the delivery has ended meanwhile: only Kaspi's answer
    settles a contradiction.
    """
    if not is_refresh_due(delivery):
        delivery.next_refresh_at = next_refresh(delivery, after=after)


def is_refresh_due(delivery: Delivery) -> bool:
    """Tell whether Kaspi is to be asked as soon as the worker can."""
    return delivery.next_refresh_at is not None and delivery.next_refresh_at <= clock.now()


def _move(delivery: Delivery, news: News) -> None:
    _drop_kept(delivery, news)
    change = _record(delivery, news, applied=True)
    delivery.status, delivery.status_at = news.status, change.at
    reschedule(delivery)
    if news.status not in TERMINAL:
        delivery.blanked_at = None  # it is on the road: what comes now is to be blanked when it has ended
    elif delivery.cancel_requested_at:
        calls.finish(calls.idle_cancels(delivery), ApiCall.State.DONE)
    if news.status in PICKED_UP:
        attention.clear(delivery, attention.OF_EDITING)
        if delivery.cancel_requested_at:
            attention.flag(delivery, Attention.CANCEL_REFUSED)
    if news.status == CANCELLED:
        attention.clear(delivery, attention.OF_CANCELLING | attention.OF_EDITING)
    if change.notified_at is None:
        notices.announce(change)


def _drop_kept(delivery: Delivery, news: News) -> None:
    """Delete a step that was kept as a contradiction and is taken now: each status stands once in the history.

    Only a delivery that is flagged, or that Kaspi is asked about, can have one; others are spared the statement.
    """
    is_answer = news.source == StatusChange.Source.REFRESH
    if is_answer or delivery.attention or is_refresh_due(delivery):
        rows = StatusChange.objects.using(delivery._state.db or home())
        rows.filter(delivery=delivery, to_status=news.status, applied=False).delete()


def _keep(delivery: Delivery, news: News) -> None:
    if not delivery.history.filter(to_status=news.status).exists():
        _record(delivery, news, applied=False)


def _record(delivery: Delivery, news: News, *, applied: bool, before: str | None = None) -> StatusChange:
    change = _change(delivery, news, applied=applied, before=before)
    statements.insert(change, using=delivery._state.db or home())
    return change


def _change(delivery: Delivery, news: News, *, applied: bool, before: str | None = None) -> StatusChange:
    now, came_from = clock.now(), delivery.status if before is None else before
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
        notified_at=now if applied and not notices.has_listeners(is_creation=not came_from) else None,
    )
