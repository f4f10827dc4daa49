"""The one place where a delivery's status changes. The caller holds the delivery's lock."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.types import HistoryEntry, RemoteDelivery, is_word
from kaspi_delivery_django.lifecycle import ACCEPTED, CANCELLED, PICKED_UP, RANKS, TERMINAL, Standing, Verdict, judge
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import attention, calls, clock, generations, notices, statements
from kaspi_delivery_django.services.transactions import after_commit, home

OWN_WORD = "Kaspi's own answer"
MAX_HISTORY = 100
LONGEST_PROMISE = timedelta(days=365)
MIDDLE_RANK = RANKS[ACCEPTED]  # where an unknown status stands among others of its second
REFRESH = StatusChange.Source.REFRESH
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


def keep_history(
    delivery: Delivery, entries: Sequence[HistoryEntry], received_at: datetime, *, about_to: str = ""
) -> None:
    """Add the steps of Kaspi's own history that are missing; each status stands once, at most 100 rows a delivery.

    The step to `about_to`, the status that the delivery is about to take, is left to `correct`.
    """
    known = list(delivery.history.values_list("to_status", flat=True))
    room, missing = MAX_HISTORY - len(known), list[News]()
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


def next_refresh(delivery: Delivery, *, after: timedelta | None = None) -> datetime | None:
    """Return when Kaspi is to be asked if it stays silent; never, once a delivery has ended."""
    if delivery.status in TERMINAL or not delivery.delivery_id:
        return None
    return clock.now() + (after or conf.current().refresh_after)


def _move(delivery: Delivery, news: News) -> None:
    change = _record(delivery, news, applied=True)
    delivery.status, delivery.status_at = news.status, change.at
    delivery.next_refresh_at = next_refresh(delivery)
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
        after_commit(notices.notify, change, using=delivery._state.db)


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
        notify_after=now + notices.PATIENCE,
        notified_at=now if applied and not notices.has_listeners(is_creation=not came_from) else None,
    )
