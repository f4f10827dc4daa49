"""Add the steps of Kaspi's own history that a delivery lacks."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from kaspi_delivery_django.client.types import HistoryEntry, is_word
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.deliveries.status import REFRESH, StatusUpdate, record_change
from kaspi_delivery_django.statuses import ACCEPTED, RANKS, STATUSES

MAX_STEPS = 100
MIDDLE_RANK = RANKS[ACCEPTED]  # where an unknown status stands among others of its second


def add_missing_steps(
    delivery: Delivery, entries: Sequence[HistoryEntry], received_at: datetime, *, about_to: str = ""
) -> None:
    """Add the steps of Kaspi's own history that are missing; each status stands once, at most 100 rows a delivery.

    The documented statuses that are still to come keep their room. The step to `about_to`, the status that the delivery
    is about to take, is left to `correct`.
    """
    known = list(delivery.history.values_list("to_status", flat=True))
    to_come = {*STATUSES, about_to}.difference(known, [""])  # each will need a row
    room, missing = MAX_STEPS - len(known) - len(to_come), list[StatusUpdate]()
    seen, before = {*known, about_to}, ""
    for step in in_order(entries, received_at):
        if step.status not in seen:
            seen.add(step.status)
            note = "" if delivery.blanked_at else step.notes  # what was forgotten stays forgotten
            missing.append(
                StatusUpdate(status=step.status, source=REFRESH, at=step.timestamp, note=note, before=before)
            )
        before = step.status
    for news in missing[-room:] if room > 0 else ():
        record_change(delivery, news, applied=False, before=news.before)


def in_order(entries: Sequence[HistoryEntry], received_at: datetime) -> list[HistoryEntry]:
    """Return Kaspi's steps, the oldest first, whichever way it lists them.

    Steps of one second go by rank. A step whose time cannot be true gets that of the step before it.
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
