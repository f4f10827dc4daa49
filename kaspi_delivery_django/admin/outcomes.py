"""An action of staff; what it will do to the chosen rows, and what became of them, in words that count them."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.db.models import Model
from django.utils import translation
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, ngettext, ngettext_lazy

from kaspi_delivery_django.admin import display
from kaspi_delivery_django.admin.forms import ConfirmForm
from kaspi_delivery_django.services.deliveries.rules import Effect

ROWS_NAMED = 10
ROWS_LINKED = 100

EFFECTS: Mapping[Effect, Any] = {
    Effect.CANCEL_SENT: ngettext_lazy(
        "%(count)s request to cancel is sent to Kaspi.", "%(count)s requests to cancel are sent to Kaspi.", "count"
    ),
    Effect.CANCEL_PENDING: ngettext_lazy(
        "A cancel of %(count)s delivery is under way already: no second request.",
        "Cancels of %(count)s deliveries are under way already: no second requests.",
        "count",
    ),
    Effect.CANCEL_LATER: ngettext_lazy(
        "Kaspi may have booked %(count)s delivery: it is cancelled as soon as that is known.",
        "Kaspi may have booked %(count)s deliveries: they are cancelled as soon as that is known.",
        "count",
    ),
    Effect.CANCEL_UNSENT: ngettext_lazy(
        "%(count)s delivery is not booked at Kaspi: no request, and it will not be booked.",
        "%(count)s deliveries are not booked at Kaspi: no request, and they will not be booked.",
        "count",
    ),
    Effect.REFRESH_SENT: ngettext_lazy(
        "Kaspi is asked about %(count)s delivery: one request.",
        "Kaspi is asked about %(count)s deliveries: one request for each.",
        "count",
    ),
    Effect.RETRY_SENT: ngettext_lazy(
        "Pending requests of %(count)s delivery are sent to Kaspi again.",
        "Pending requests of %(count)s deliveries are sent to Kaspi again.",
        "count",
    ),
    Effect.FIRST_SENT: ngettext_lazy(
        "%(count)s delivery was never sent: its order is read now, and a courier is booked.",
        "%(count)s deliveries were never sent: their orders are read now, and couriers are booked.",
        "count",
    ),
    Effect.ADAPTER_DECIDES: ngettext_lazy(
        "%(count)s delivery is sent only if the shop's adapter wants it now.",
        "%(count)s deliveries are sent only if the shop's adapter wants them now.",
        "count",
    ),
    Effect.RETURN_BOOKED: ngettext_lazy(
        "%(count)s return is booked: a courier fetches the parcel from the customer.",
        "%(count)s returns are booked: couriers fetch the parcels from the customers.",
        "count",
    ),
    Effect.EVENT_APPLIED: ngettext_lazy(
        "%(count)s event is applied again: no request to Kaspi.",
        "%(count)s events are applied again: no request to Kaspi.",
        "count",
    ),
    Effect.EVENT_CLOSED: ngettext_lazy(
        "%(count)s event leaves the dead letters: no request to Kaspi.",
        "%(count)s events leave the dead letters: no request to Kaspi.",
        "count",
    ),
}

BOOKED = ngettext_lazy("%(count)s booked.", "%(count)s booked.", "count")
SENT_LATER = ngettext_lazy(
    "%(count)s booking is on its way to Kaspi.", "%(count)s bookings are on their way to Kaspi.", "count"
)
TO_BOOK = ngettext_lazy("%(count)s courier is asked of Kaspi.", "%(count)s couriers are asked of Kaspi.", "count")
CANCELLED = ngettext_lazy("%(count)s cancelled.", "%(count)s cancelled.", "count")
CANCELLED_UNSENT = ngettext_lazy(
    "%(count)s cancelled without a request: not booked at Kaspi.",
    "%(count)s cancelled without a request: not booked at Kaspi.",
    "count",
)
CANCEL_SENT = ngettext_lazy(
    "Kaspi is asked to cancel %(count)s; the status follows.",
    "Kaspi is asked to cancel %(count)s; their statuses follow.",
    "count",
)
CANCEL_DELAYED = ngettext_lazy(
    "%(count)s not cancelled yet: the next attempt is automatic.",
    "%(count)s not cancelled yet: the next attempts are automatic.",
    "count",
)
CANCEL_LATER = ngettext_lazy(
    "%(count)s will be cancelled as soon as its booking is resolved.",
    "%(count)s will be cancelled as soon as their bookings are resolved.",
    "count",
)
CANCEL_REFUSED = ngettext_lazy(
    "%(count)s refused by Kaspi: already in transit, or ended.",
    "%(count)s refused by Kaspi: already in transit, or ended.",
    "count",
)
REFRESHED = ngettext_lazy(
    "Kaspi is asked about %(count)s; its answer follows.",
    "Kaspi is asked about %(count)s; its answers follow.",
    "count",
)
RETRIED = ngettext_lazy(
    "Pending requests of %(count)s are sent now.", "Pending requests of %(count)s are sent now.", "count"
)
REPLAY_FAILED = ngettext_lazy("%(count)s failed again.", "%(count)s failed again.", "count")
CLOSED = ngettext_lazy("%(count)s taken off the list.", "%(count)s taken off the list.", "count")


class Answer(NamedTuple):
    """What became of one row: the level of its message, and the words after the row's name.

    `several` is a plural text with `%(count)s` about the rows that have it in common; a row counts `amount` times.
    """

    level: int
    words: str
    several: Any = None
    amount: int = 1

    def about(self, count: int) -> str:
        if self.several is not None:
            return str(self.several % {"count": count})
        if self.level < messages.ERROR:
            return f"{count}: {self.words}"
        refused = ngettext("%(count)s refused: %(reason)s", "%(count)s refused: %(reason)s", count)
        return refused % {"count": count, "reason": self.words}


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What an action would do to the chosen rows.

    It is confirmed for the rows with these `keys`, and `effects` say what happens to them. The other rows are left
    alone: `refused` has them by the reason.
    """

    keys: Sequence[Any]
    effects: Sequence[str] = ()
    refused: Mapping[str, Sequence[Any]] = field(default_factory=dict)


Act = Callable[[Any, Mapping[str, Any]], Answer]


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing that can be done. `act` does it to a row, and returns what became of it.

    With a `bulk_name` the worker can run it, and `bulk_actions.forecast` previews it; a `preview` replaces that
    forecast, and gets the keys of the chosen rows, at most MAX_ROWS. A dangerous action looks like a deletion.
    """

    permission: str
    label: Promise
    question: Promise
    act: Act
    form: type[ConfirmForm] = ConfirmForm
    preview: Callable[[Sequence[Any]], Preview] | None = None
    bulk_name: str = ""
    is_dangerous: bool = False

    @property
    def meaning(self) -> str:
        """What staff consent to, in a form field: the same in every language."""
        with translation.override("en"):
            return hashlib.sha256(str(self.question).encode()).hexdigest()[:16]


def effect_lines(counts: Counter[Effect]) -> list[str]:
    """Return a line for each effect that some rows have."""
    return [str(EFFECTS[effect] % {"count": counts[effect]}) for effect in Effect if counts[effect]]


def refused_lines(site: admin.AdminSite, refused: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return a line for each reason why rows are left alone, with links to them."""
    lines: list[str] = []
    for reason, rows in refused.items():
        words = ngettext("%(count)s is left alone.", "%(count)s are left alone.", len(rows)) % {"count": len(rows)}
        lines.append(format_html("{} {} {}", words, reason, links(site, rows)))
    return lines


class Report:
    """What became of the rows, in one message: a line for each outcome, with links to the rows that are not done."""

    def __init__(self, site: admin.AdminSite) -> None:
        self._site = site
        self._answers: dict[tuple[int, str], list[tuple[Answer, Model]]] = {}
        self._lines: list[tuple[int, str]] = []

    def add(self, row: Model, answer: Answer) -> None:
        self._answers.setdefault((answer.level, answer.about(1)), []).append((answer, row))

    def add_line(self, level: int, line: str) -> None:
        """Add a line about rows that nothing was done about."""
        self._lines.append((level, line))

    @property
    def level(self) -> int:
        """The level of the message: a warning if some rows are done and others refused."""
        levels = {level for level, _text in (*self._answers, *self._lines)}
        is_mixed = messages.ERROR in levels and len(levels) > 1
        return messages.WARNING if is_mixed else max(levels, default=messages.WARNING)

    @property
    def text(self) -> str:
        """The message: what is done first. About one row alone it begins with the row's name."""
        groups = [self._answers[key] for key in sorted(self._answers, key=self._order)]
        if not groups and not self._lines:
            return gettext("The row is gone.")
        if [len(group) for group in groups] == [1] and not self._lines:
            [[(answer, row)]] = groups
            return format_html("<bdi>{}</bdi>: {}", row, answer.words)
        lines = [*map(self._line, groups), *(line for _level, line in self._lines)]
        return format_html_join("", '<div class="kd-line">{}</div>', ((line,) for line in lines))

    def _order(self, key: tuple[int, str]) -> tuple[int, int]:
        return key[0], -len(self._answers[key])

    def _line(self, group: Sequence[tuple[Answer, Model]]) -> str:
        answer, _row = group[0]
        words = answer.about(sum(one.amount for one, _row in group))
        is_done = answer.level < messages.WARNING
        return words if is_done else format_html("{} {}", words, links(self._site, [row for _answer, row in group]))


def links(site: admin.AdminSite, rows: Sequence[Model]) -> str:
    """Link rows by their names: ten of them, up to ninety more folded, and the number of all the others."""
    linked = [format_html("<bdi>{}</bdi>", display.page_link(site, row)) for row in rows[:ROWS_LINKED]]
    named, more = _listed(linked[:ROWS_NAMED]), len(rows) - ROWS_NAMED
    if more <= 0:
        return named
    words = ngettext("and %(counter)s more row", "and %(counter)s more rows", more) % {"counter": more}
    return format_html("{}<details><summary>{}</summary>{}</details>", named, words, _listed(linked[ROWS_NAMED:]))


def _listed(linked: Iterable[str]) -> str:
    return format_html_join(", ", "{}", ((link,) for link in linked))
