"""The dashboard: what needs somebody, how the deliveries move, and whether everything is alive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import lifecycle
from kaspi_delivery_django.admin import charts, needs, showing
from kaspi_delivery_django.admin.mirrors import MirrorAdmin
from kaspi_delivery_django.figures import accounts, days, lately, standing
from kaspi_delivery_django.figures.standing import NOT_BOOKED, OTHER
from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.wording import exact_duration_label, status_label


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One line of a table of figures, with a bar beside it and a link to the rows."""

    label: str
    count: str
    share: float
    url: str = ""


def page(model_admin: MirrorAdmin, request: HttpRequest) -> HttpResponse:
    """Show the dashboard. Raises `PermissionDenied` for who may not see deliveries."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    site = model_admin.admin_site
    to = partial(showing.list_url, site, request)
    now = standing.read()
    context = {
        **site.each_context(request),
        "title": _("Dashboard"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "standing": now,
        "actions_waiting": showing.counted(now.actions_waiting),
        "silence": showing.age(now.last_webhook_at),
        "accounts": accounts.read(),
        **_lately(now, request),
        **_days(),
    }
    context["needs"] = list(needs.find(to, now, context["accounts"]))
    context["deliveries"] = _bars(partial(to, "delivery"), "status", _named(now.deliveries))
    context["calls"] = _bars(partial(to, "apicall"), "state", [(key, _state(key), n) for key, n in now.calls.items()])
    request.current_app = site.name
    return TemplateResponse(request, "admin/kaspi_delivery/dashboard.html", context)


def _lately(now: standing.Snapshot, request: HttpRequest) -> dict[str, Any]:
    took, came = lately.durations(now.read_at), lately.webhooks(now.read_at)
    ended = sorted(lately.calls_ended(now.read_at).items())
    failed = sorted(lately.failed_attempts(now.read_at).items(), key=lambda row: -row[1])
    return {
        "took": {
            "deliveries": showing.sampled(took.deliveries, lately.ARRIVALS),
            "median": _span(took.median),
            "p90": _span(took.p90),
        },
        "ended": _lines([(f"{_kind(kind)}: {_state(state)}", count) for (kind, state), count in ended]),
        "failed": _lines([(f"{_kind(kind)}: {_answer(status)}", count) for (kind, status), count in failed]),
        "webhooks": {
            "events": showing.sampled(came.events, lately.SAMPLE),
            "repeated": showing.counted(came.repeated),
            "most_attempts": came.most_attempts,
        },
        **_reasons(now, may_see=showing.may_see_personal_data(request)),
    }


def _reasons(now: standing.Snapshot, *, may_see: bool) -> dict[str, Any]:
    found = lately.cancel_reasons(now.read_at) if may_see else []
    named = [(reason or gettext("no reason given"), count) for reason, count in found]
    return {"reasons": _lines(named), "reasons_hidden": not may_see}


def _days() -> dict[str, Any]:
    """Lay out the transitions of the last days, as a chart and as the table that says the same."""
    week = days.read()
    rows = [(date_format(day.date, "j M"), _grouped(day.changes)) for day in week]
    statuses = [*lifecycle.STATUSES, *([OTHER] if any(OTHER in counts for _label, counts in rows) else [])]
    return {
        "chart": charts.columns(rows),
        "chart_size": {"width": charts.WIDTH, "height": charts.HEIGHT, "ground": charts.HEIGHT - 8},
        "table": [
            {"label": _status(status), "tone": status, "counts": [counts.get(status, 0) for _label, counts in rows]}
            for status in statuses
        ],
        "day_labels": [label for label, _counts in rows],
    }


def _grouped(changes: Mapping[str, int]) -> dict[str, int]:
    """Order the statuses as they follow each other; words that are new to us are one group."""
    known = {status: changes.get(status, 0) for status in lifecycle.STATUSES}
    other = sum(count for status, count in changes.items() if status not in known)
    return {**known, OTHER: other} if other else known


def _named(deliveries: Mapping[str, int]) -> list[tuple[str, str, int]]:
    return [(status, _status(status), count) for status, count in deliveries.items()]


def _bars(to: needs.Linker, parameter: str, rows: Sequence[tuple[str, str, int]]) -> list[Bar]:
    most = max((count for _key, _label, count in rows), default=0)
    return [
        Bar(
            label=label,
            count=showing.counted(count),
            share=charts.share(count, most),
            url=to(**{parameter: key or NOT_BOOKED}),
        )
        for key, label, count in rows
    ]


def _lines(rows: Sequence[tuple[str, int]]) -> list[Bar]:
    most = max((count for _label, count in rows), default=0)
    return [Bar(label=label, count=showing.counted(count), share=charts.share(count, most)) for label, count in rows]


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
