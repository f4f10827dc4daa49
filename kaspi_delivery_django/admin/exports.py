"""What is taken out of the admin: a printable page of labels, and the list as a CSV file. Both hold personal data."""

import csv
import io
import re
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, SEARCH_VAR, ChangeList
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.http import content_disposition_header
from django.utils.safestring import mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import statuses
from kaspi_delivery_django.admin import display
from kaspi_delivery_django.admin.readonly import ReadOnlyAdmin
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import content_types
from kaspi_delivery_django.stats import days

try:
    from segno import make_qr
except ImportError:  # the extra `labels` is not installed
    make_qr = None  # type: ignore[assignment]

INSTALL = "pip install 'kaspi-delivery-django[labels]'"
MAX_LABELS = 1_000
BATCH_ROWS = 2_000
MAX_FILTER_LENGTH = 500
LABELS = _("Labels")
CSV = _("CSV export")
COLUMNS = (
    "order_label",
    "external_order_id",
    "object_id",
    "generation",
    "parcel",
    "returned_generation",
    "delivery_id",
    "status",
    "status_at",
    "attention",
    "created_at",
    "pickup_by",
    "delivery_by",
    "dropoff_name",
    "dropoff_phone",
    "dropoff_address",
    "dropoff_notes",
    "parcel_description",
    "parcel_weight_grams",
    "parcel_value_kzt",
    "pickup_name",
    "pickup_phone",
    "pickup_address",
    "pickup_notes",
    "cancel_requested_at",
    "cancel_reason",
    "return_reason",
    "tracking_url",
    "account",
    "environment",
)
_SIGNS = "=+\\-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
# Tabs and line breaks are separators: each is followed by a cell of its own.
_BLANKS = r" \f\v\x1c-\x1f\x85\xa0\u1680\u2000-\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff\"'"
# Before a formula at the start of a cell, or of what becomes one in a spreadsheet that expects another separator.
_FORMULA = re.compile(rf"^(?=[\t\r\n])|(?:^|(?<=[,;\t\r\n]))(?=[{_BLANKS}]*[{_SIGNS}])")


def require_permission(model_admin: ReadOnlyAdmin, request: HttpRequest) -> None:
    """Raise `PermissionDenied` unless the user can view deliveries with their personal data."""
    if not (model_admin.has_view_permission(request) and display.may_see_personal_data(request)):
        raise PermissionDenied


def labels_of_today(model_admin: ReadOnlyAdmin, request: HttpRequest) -> HttpResponse:
    """Show the labels of all parcels that couriers are to pick up until the end of today."""
    _begin, end = days.bounds(days.today())
    return labels(model_admin, request, Delivery.objects.leaving(before=end), gettext("What leaves today"))


def labels(model_admin: ReadOnlyAdmin, request: HttpRequest, rows: QuerySet[Any], title: str) -> HttpResponse:
    """Show a page to print, with a label for each of the deliveries, and record who asked for it."""
    require_permission(model_admin, request)
    found = list(rows.defer("raw").order_by("pk")[: MAX_LABELS + 1])
    shown = found[:MAX_LABELS]
    keys = ", ".join(str(delivery.pk) for delivery in shown)
    _record(request, LABELS, gettext("deliveries: %(count)s (%(keys)s)") % {"count": len(shown), "keys": keys})
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "labels": [_label(delivery) for delivery in shown],
        "printed_at": display.moment(clock.now()),
        "is_capped": len(found) > MAX_LABELS,
        "install": INSTALL if make_qr is None else "",
        "list_url": _list_url(model_admin),
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, "admin/kaspi_delivery/labels.html", context)


def csv_file(model_admin: ReadOnlyAdmin, request: HttpRequest) -> HttpResponseBase:
    """Stream the rows of the list with its filters and its search, all of them, and record who asked for it."""
    require_permission(model_admin, request)
    try:
        changelist = model_admin.get_changelist_instance(request)
    except IncorrectLookupParameters:
        return HttpResponseRedirect(f"{_list_url(model_admin)}?{ERROR_FLAG}=1")
    chosen = _filter_of(changelist)
    entry = _record(request, CSV, gettext("started; %(filter)s") % {"filter": chosen})
    parts = _csv_parts(changelist.queryset, entry, chosen, translation.get_language())
    content = _asynchronous(parts) if isinstance(request, ASGIRequest) else parts
    name = f"deliveries-{days.today()}.csv"
    disposition = content_disposition_header(as_attachment=True, filename=name)
    headers = {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": disposition}
    return StreamingHttpResponse(content, headers=headers)


def without_formula(text: str) -> str:
    """Return the text with an apostrophe before whatever a spreadsheet would run."""
    return _FORMULA.sub("'", text)


def _label(delivery: Delivery) -> dict[str, Any]:
    """Return one parcel on the page; `code` is its delivery id as a drawing, empty without the extra `labels`."""
    is_ready = delivery.status in statuses.AWAITING_PICKUP and delivery.delivery_id
    warning = "" if is_ready else statuses.status_label(delivery.status)
    if delivery.cancel_requested_at and delivery.is_cancellable:
        warning = gettext("A cancel was requested")
    return {
        "delivery": delivery,
        "order": display.order_name(delivery, shows_personal=True),
        "code": _code(delivery.delivery_id or ""),
        "pickup_by": display.moment(delivery.pickup_by),
        "warning": warning,
    }


def _code(text: str) -> str:
    """Draw the text as a QR code: an element of the page, which every Content-Security-Policy allows."""
    if not text or make_qr is None:
        return ""
    drawing = make_qr(text, error="m").svg_inline(omitsize=True, svgclass="kd-code", lineclass=None)
    return mark_safe(drawing)  # noqa: S308  # shapes only, no text


def _csv_parts(rows: QuerySet[Any], entry: LogEntry, chosen: str, language: str | None) -> Generator[bytes]:
    """Yield the file in parts; write into the admin's log how many rows there were, also if the reader goes away."""
    count, words = 0, _("broken off; rows: %(count)s; %(filter)s")
    try:
        yield _written([_header(language)], language, start="\ufeff")
        for batch in _batches(rows):
            with translation.override(language):
                lines = [[_cell(name, value) for name, value in zip(COLUMNS, row, strict=True)] for row in batch]
            yield _written(lines, language)
            count += len(batch)
        words = _("rows: %(count)s; %(filter)s")
    finally:
        with translation.override(language):
            message = words % {"count": count, "filter": chosen}
        LogEntry.objects.filter(pk=entry.pk).update(change_message=message)


def _batches(rows: QuerySet[Any]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Yield the columns of rows, the newest first: one short query for each batch, from where the last one ended."""
    ordered = rows.prefetch_related(None).order_by("-pk").values_list("pk", *COLUMNS)
    batch = list(ordered[:BATCH_ROWS])
    while batch:
        yield [row[1:] for row in batch]
        is_last = len(batch) < BATCH_ROWS
        batch = [] if is_last else list(ordered.filter(pk__lt=batch[-1][0])[:BATCH_ROWS])


def _header(language: str | None) -> Sequence[str]:
    with translation.override(language):
        return [capfirst(str(Delivery._meta.get_field(name).verbose_name)) for name in COLUMNS]  # type: ignore[union-attr]  # all are columns


def _cell(name: str, value: Any) -> str:
    if value is None or (name == "returned_generation" and not value):
        return ""
    if isinstance(value, datetime):
        in_zone = timezone.localtime(value, timezone.get_default_timezone())
        return in_zone.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    if name == "status":
        value = statuses.status_label(value)
    elif name == "attention":
        value = display.attention_label(value)
    return without_formula(str(value))


def _written(lines: Sequence[Sequence[str]], language: str | None, *, start: str = "") -> bytes:
    """Write lines as Excel reads them: outside English it expects semicolons."""
    text = io.StringIO(start, newline="")
    text.seek(0, io.SEEK_END)
    csv.writer(text, delimiter="," if (language or "en").startswith("en") else ";").writerows(lines)
    return text.getvalue().encode()


async def _asynchronous(parts: Generator[bytes]) -> AsyncIterator[bytes]:
    """Yield the parts under ASGI, where Django would otherwise collect all of them first."""
    following = sync_to_async(partial(next, parts, b""))
    try:
        while part := await following():
            yield part
    finally:
        await sync_to_async(parts.close)()


def _filter_of(changelist: ChangeList) -> str:
    """Return the list's filters as its address has them. A search term is left out: it may be a customer's."""
    query = changelist.get_query_string(remove=[SEARCH_VAR]).removeprefix("?")[:MAX_FILTER_LENGTH]
    chosen = query or gettext("no filter")
    return f"{chosen}, {gettext('a search')}" if changelist.query else chosen


def _record(request: HttpRequest, what: Any, words: str) -> LogEntry:
    """Write one line into the admin's log, of the deliveries as a whole: it has no object id."""
    kind = content_types().get_for_model(Delivery)
    user: Any = request.user
    return LogEntry.objects.create(
        user_id=user.pk, content_type_id=kind.pk, object_repr=str(what), action_flag=CHANGE, change_message=words
    )


def _list_url(model_admin: ReadOnlyAdmin) -> str:
    return reverse("admin:kaspi_delivery_delivery_changelist", current_app=model_admin.admin_site.name)
