"""The dashboard: alerts, the parcels of the last days, statuses, and the state of workers and accounts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext, pgettext_lazy

from kaspi_delivery_django.admin import display, filters
from kaspi_delivery_django.admin.readonly import ReadOnlyAdmin
from kaspi_delivery_django.formats import exact_duration_label
from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.stats import alerts, recent
from kaspi_delivery_django.stats.days import Day
from kaspi_delivery_django.stats.report import Report
from kaspi_delivery_django.stats.snapshot import MAX_COUNT, NOT_BOOKED, OTHER, age_label, counted
from kaspi_delivery_django.statuses import status_label

SHORTEST = 2
Kind = ApiCall.Kind
State = ApiCall.State

Linker = Callable[..., str]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A number with its label, a bar's length (0 to 100) beside it, and the list of its rows."""

    label: str
    count: str
    share: float
    url: str = ""

    @property
    def number(self) -> str:
        """The number, linked to its rows. A screen reader announces what it counts."""
        if not self.url:
            return self.count
        return format_html('<a href="{}" aria-label="{}: {}">{}</a>', self.url, self.label, self.count, self.count)


def share(count: int, most: int) -> float:
    """Return the length of a bar, from 0 to 100, that can be seen if there is anything."""
    return max(SHORTEST, round(100 * count / most, 1)) if count and most else 0


def page(model_admin: ReadOnlyAdmin, request: HttpRequest) -> HttpResponse:
    """Show the dashboard. Raises `PermissionDenied` for users who cannot view deliveries."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    site = model_admin.admin_site
    to = partial(display.list_url, site, request)
    report = Report()
    context = {
        **site.each_context(request),
        "title": pgettext_lazy("Kaspi Delivery admin", "Dashboard"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "now": report.snapshot,
        "alerts": list(_alerts(to, report)),
        "kinds": filters.KIND_LABELS.values(),
        "days": _days(to, report),
        **_current(to, report),
        **_lately(to, report),
        **_reasons(to, report, may_see=display.may_see_personal_data(request)),
    }
    request.current_app = site.name
    return TemplateResponse(request, "admin/kaspi_delivery/dashboard.html", context)


def _alerts(to: Linker, report: Report) -> Iterator[alerts.Alert]:
    for alert in alerts.find(report):
        yield replace(alert, url=to(alert.model, **alert.query)) if alert.model else alert


def _days(to: Linker, report: Report) -> Sequence[tuple[str, Sequence[Bar]]]:
    """Return each day's parcels, today's first. All bars have one scale."""
    most = max(count for day in report.days for count in day.parcels.values())
    return [(capfirst(filters.day_label(day.date)), _parcels(to, day, most)) for day in reversed(report.days)]


def _parcels(to: Linker, day: Day, most: int) -> Sequence[Bar]:
    label = filters.day_label(day.date)
    return [
        Bar(
            label=f"{name}, {label}",
            count=counted(day.parcels[kind]),
            share=share(day.parcels[kind], most),
            url=to("delivery", day=f"{kind}:{day.date.isoformat()}") if day.parcels[kind] else "",
        )
        for kind, name in filters.KIND_LABELS.items()
    ]


def _current(to: Linker, report: Report) -> dict[str, Any]:
    now = report.snapshot
    actions = gettext("Pending bulk actions")
    return {
        "deliveries": _bars(
            (_status(status), count, to("delivery", status=status or NOT_BOOKED))
            for status, count in now.deliveries.items()
        ),
        "calls": _bars(
            (str(State(state).label), count, to("apicall", state=state)) for state, count in now.calls.items()
        ),
        "actions_waiting": _bar(actions, now.actions_waiting, to("pendingaction", state="waiting")),
        "calls_url": to("apicall", state="waiting"),
        "silence": age_label(now.last_webhook_at),
        "accounts": report.accounts,
        "accounts_url": to("accountstate"),
    }


def _lately(to: Linker, report: Report) -> dict[str, Any]:
    now, took, came = report.snapshot.read_at, report.durations, report.webhooks
    ended = sorted(report.calls_ended.items())
    failed = sorted(recent.failed_attempts(now).items(), key=lambda row: -row[1])
    repeated = to("webhookevent", repeated="1")
    no_answer = gettext("no answer")
    return {
        "took": {
            "deliveries": _bar(
                gettext("Deliveries counted"), took.deliveries, to("delivery", day=filters.LAST_WEEK), recent.ARRIVALS
            ),
            "median": _span(took.median),
            "p90": _span(took.p90),
        },
        "ended": _bars(
            (f"{Kind(kind).label}: {State(state).label}", count, to("apicall", ended=f"{kind}:{state}"))
            for (kind, state), count in ended
        ),
        "failed": _bars(
            (f"{Kind(kind).label}: {status or no_answer}", count, to("failedattempt", answer=f"{kind}:{status or ''}"))
            for (kind, status), count in failed
        ),
        "webhooks": {
            "events": _bar(gettext("Events"), came.events, to("webhookevent", since="24"), recent.SAMPLE),
            "repeated": _bar(gettext("Came more than once"), came.repeated, repeated),
            "most_attempts": counted(came.most_attempts),
        },
    }


def _reasons(to: Linker, report: Report, *, may_see: bool) -> dict[str, Any]:
    found = recent.cancel_reasons(report.snapshot.read_at) if may_see else []
    named = [(reason or gettext("no reason given"), count, filters.digest(reason)) for reason, count in found]
    return {
        "reasons": _bars((label, count, to("delivery", reason=digest)) for label, count, digest in named),
        "reasons_hidden": not may_see,
    }


def _bars(rows: Iterable[tuple[str, int, str]]) -> list[Bar]:
    """Return a bar for each label, count and URL, on one scale."""
    known = list(rows)
    most = max((count for _label, count, _url in known), default=0)
    return [
        Bar(label=label, count=counted(count), share=share(count, most), url=url if count else "")
        for label, count, url in known
    ]


def _bar(label: str, count: int, url: str, sample: int = MAX_COUNT + 1) -> Bar:
    """Return a single number. A plus sign marks one that stopped at its bound, or a full sample."""
    shown = counted(count) if sample > MAX_COUNT else display.sampled(count, sample)
    return Bar(label=label, count=shown, share=0, url=url if count else "")


def _status(status: str) -> str:
    return gettext("Other") if status == OTHER else status_label(status)


def _span(time: timedelta | None) -> str:
    return "—" if time is None else exact_duration_label(time)
