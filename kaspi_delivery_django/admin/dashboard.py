"""The dashboard: alerts, statuses, the last days as charts, and the state of workers and accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import statuses
from kaspi_delivery_django.admin import alerts, display
from kaspi_delivery_django.admin.readonly import ReadOnlyAdmin
from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.stats import days, recent, snapshot
from kaspi_delivery_django.stats.report import Report
from kaspi_delivery_django.stats.snapshot import NOT_BOOKED, OTHER
from kaspi_delivery_django.statuses import exact_duration_label, status_label, time_label

WIDTH, HEIGHT = 700, 220
TOP, BOTTOM = 24, 28
GAP = 0.25
SHORTEST = 2


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One part of a column, in the chart's units. `tone` names its colour."""

    tone: str
    y: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column, with its label below and its total above."""

    label: str
    total: int
    x: float
    width: float
    middle: float
    top: float
    pieces: Sequence[Piece]


def chart_columns(rows: Sequence[tuple[str, Mapping[str, int]]]) -> Sequence[Column]:
    """Stack each row's counts into a column of one common scale; every count above zero is visible."""
    highest = max((sum(counts.values()) for _label, counts in rows), default=0) or 1
    step = WIDTH / max(len(rows), 1)
    return [
        _chart_column(label, counts, number * step + step * GAP / 2, step * (1 - GAP), highest)
        for number, (label, counts) in enumerate(rows)
    ]


def shares(count: int, most: int) -> float:
    """Return the length of a bar, from 0 to 100, that can be seen if there is anything."""
    return max(SHORTEST, round(100 * count / most, 1)) if count and most else 0


def _chart_column(label: str, counts: Mapping[str, int], x: float, width: float, highest: int) -> Column:
    bottom, height_left = HEIGHT - BOTTOM, HEIGHT - TOP - BOTTOM
    pieces, y = [], float(bottom)
    for tone, count in counts.items():
        height = max(SHORTEST, height_left * count / highest) if count else 0
        y = max(TOP, y - height)
        if height:
            pieces.append(Piece(tone=tone, y=round(y, 1), height=round(height, 1)))
    return Column(
        label=label,
        total=sum(counts.values()),
        x=round(x, 1),
        width=round(width, 1),
        middle=round(x + width / 2, 1),
        top=round(y - 6, 1),
        pieces=pieces,
    )


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One line of a table of figures, with a bar beside it and a link to the rows."""

    label: str
    count: str
    share: float
    url: str = ""


def page(model_admin: ReadOnlyAdmin, request: HttpRequest) -> HttpResponse:
    """Show the dashboard. Raises `PermissionDenied` for users who cannot view deliveries."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    site = model_admin.admin_site
    to = partial(display.list_url, site, request)
    report = Report()
    now = report.snapshot
    context = {
        **site.each_context(request),
        "title": _("Dashboard"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "now": now,
        "actions_waiting": display.counted(now.actions_waiting),
        "silence": display.age(now.last_webhook_at),
        "accounts": report.accounts,
        **_lately(now, request),
        **_days(),
    }
    context["alerts"] = list(alerts.find(to, report))
    context["deliveries"] = _bars(partial(to, "delivery"), "status", _named(now.deliveries))
    context["calls"] = _bars(partial(to, "apicall"), "state", [(key, _state(key), n) for key, n in now.calls.items()])
    request.current_app = site.name
    return TemplateResponse(request, "admin/kaspi_delivery/dashboard.html", context)


def _lately(now: snapshot.Snapshot, request: HttpRequest) -> dict[str, Any]:
    took, came = recent.durations(now.read_at), recent.webhooks(now.read_at)
    ended = sorted(recent.calls_ended(now.read_at).items())
    failed = sorted(recent.failed_attempts(now.read_at).items(), key=lambda row: -row[1])
    return {
        "took": {
            "deliveries": display.sampled(took.deliveries, recent.ARRIVALS),
            "median": _span(took.median),
            "p90": _span(took.p90),
        },
        "ended": _lines([(f"{_kind(kind)}: {_state(state)}", count) for (kind, state), count in ended]),
        "failed": _lines([(f"{_kind(kind)}: {_answer(status)}", count) for (kind, status), count in failed]),
        "webhooks": {
            "events": display.sampled(came.events, recent.SAMPLE),
            "repeated": display.counted(came.repeated),
            "most_attempts": came.most_attempts,
        },
        **_reasons(now, may_see=display.may_see_personal_data(request)),
    }


def _reasons(now: snapshot.Snapshot, *, may_see: bool) -> dict[str, Any]:
    found = recent.cancel_reasons(now.read_at) if may_see else []
    named = [(reason or gettext("no reason given"), count) for reason, count in found]
    return {"reasons": _lines(named), "reasons_hidden": not may_see}


def _days() -> dict[str, Any]:
    """Return the status changes of the last days, as a chart and as a table."""
    week = days.read()
    rows = [(time_label(day.date, "j M"), _grouped(day.changes)) for day in week]
    shown = [*statuses.STATUSES, *([OTHER] if any(OTHER in counts for _label, counts in rows) else [])]
    return {
        "chart": chart_columns(rows),
        "chart_size": {"width": WIDTH, "height": HEIGHT, "ground": HEIGHT - 8},
        "table": [
            {"label": _status(status), "tone": status, "counts": [counts.get(status, 0) for _label, counts in rows]}
            for status in shown
        ],
        "day_labels": [label for label, _counts in rows],
    }


def _grouped(changes: Mapping[str, int]) -> dict[str, int]:
    """Return the statuses in their order; unknown ones are one group."""
    known = {status: changes.get(status, 0) for status in statuses.STATUSES}
    other = sum(count for status, count in changes.items() if status not in known)
    return {**known, OTHER: other} if other else known


def _named(deliveries: Mapping[str, int]) -> list[tuple[str, str, int]]:
    return [(status, _status(status), count) for status, count in deliveries.items()]


def _bars(to: alerts.Linker, parameter: str, rows: Sequence[tuple[str, str, int]]) -> list[Bar]:
    most = max((count for _key, _label, count in rows), default=0)
    return [
        Bar(
            label=label,
            count=display.counted(count),
            share=shares(count, most),
            url=to(**{parameter: key or NOT_BOOKED}),
        )
        for key, label, count in rows
    ]


def _lines(rows: Sequence[tuple[str, int]]) -> list[Bar]:
    most = max((count for _label, count in rows), default=0)
    return [Bar(label=label, count=display.counted(count), share=shares(count, most)) for label, count in rows]


def _status(status: str) -> str:
    return gettext("Other") if status == OTHER else status_label(status)


def _kind(kind: str) -> str:
    return str(ApiCall.Kind(kind).label)


def _span(time: timedelta | None) -> str:
    return "—" if time is None else exact_duration_label(time)


def _answer(http_status: int | None) -> str:
    return str(http_status or gettext("no answer"))


def _state(state: str) -> str:
    return str(ApiCall.State(state).label)
