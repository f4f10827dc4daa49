"""How values are shown: badges, ages, links, and hidden personal data."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.contenttypes.models import ContentType
from django.db.models import DateTimeField, Model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from kaspi_delivery_django import statuses
from kaspi_delivery_django.client.webhooks import readable_text
from kaspi_delivery_django.formats import duration_label, number_label, time_label
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, WebhookEvent
from kaspi_delivery_django.models.search import number_key
from kaspi_delivery_django.services import clock, errors
from kaspi_delivery_django.services.db import content_types
from kaspi_delivery_django.stats.snapshot import age_label
from kaspi_delivery_django.statuses import status_label

VIEW_PERSONAL_DATA = "kaspi_delivery.view_personal_data"
HIDDEN = "•••"
NO_VALUE = "-"
BACK = "back"  # the page that the user came from, in a link

_LONG_WORD = re.compile(r"(\S{10})\S{6,}(\S{4})")

_STATUS_MARKS = {
    "": ("…", "waiting"),
    statuses.CREATED: ("○", "waiting"),
    statuses.ACCEPTED: ("◔", "moving"),
    statuses.IN_TRANSIT: ("◑", "moving"),
    statuses.OUT_FOR_DELIVERY: ("◕", "moving"),
    statuses.DELIVERED: ("✓", "good"),
    statuses.CANCELLED: ("✕", "ended"),
}
_UNKNOWN_MARK = ("?", "bad")

_CALL_MARKS = {
    ApiCall.State.DUE: ("…", "waiting"),
    ApiCall.State.SENDING: ("→", "moving"),
    ApiCall.State.DONE: ("✓", "good"),
    ApiCall.State.UNKNOWN: ("?", "bad"),
    ApiCall.State.REFUSED: ("!", "bad"),
    ApiCall.State.STUCK: ("!", "bad"),
    ApiCall.State.ABANDONED: ("✕", "ended"),
}

_EVENT_MARKS = {
    WebhookEvent.State.APPLIED: ("✓", "good"),
    WebhookEvent.State.PARKED: ("…", "waiting"),
    WebhookEvent.State.CONFLICT: ("!", "bad"),
    WebhookEvent.State.FAILED: ("!", "bad"),
}
_NEUTRAL_MARK = ("—", "ended")


def badge(label: object, mark: str, tone: str) -> str:
    """Return a label whose mark and text repeat the meaning of its colour."""
    words = format_html('<span aria-hidden="true">{}</span>\N{NO-BREAK SPACE}{}', mark, label)
    return format_html('<span class="kd-badge kd-{}">{}</span>', tone, words)


def status_badge(status: str) -> str:
    return badge(status_label(status), *_STATUS_MARKS.get(status, _UNKNOWN_MARK))


def way_badge(delivery: Delivery) -> str:
    """Name the parcel of an order that has several, and mark a return; empty for an order's only delivery."""
    parcel = badge(format_html("<bdi>{}</bdi>", delivery.parcel), "▣", "ended") if delivery.parcel else ""
    return format_html("{} {}", parcel, return_badge(delivery))


def return_badge(delivery: Delivery) -> str:
    """Mark a return; empty for a delivery to the customer."""
    return badge(gettext("Return"), "↩", "ended") if delivery.is_return else ""


def call_badge(call: ApiCall) -> str:
    return badge(call.get_state_display(), *_CALL_MARKS.get(ApiCall.State(call.state), _UNKNOWN_MARK))


def event_badge(event: WebhookEvent) -> str:
    return badge(event.get_state_display(), *_EVENT_MARKS.get(WebhookEvent.State(event.state), _NEUTRAL_MARK))


def attention_label(reason: str) -> str:
    return str(dict(Attention.choices).get(reason, reason))


def attention_badge(delivery: Delivery) -> str:
    return badge(attention_label(delivery.attention), "!", "bad") if delivery.attention else ""


def sampled(count: int, most: int) -> str:
    """Format a count of a sample; a plus sign marks a full sample."""
    return f"{number_label(count)}{'+' if count >= most else ''}"


def moment(at: datetime | None) -> str:
    """Write a time in the shop's time zone, as Django writes it elsewhere."""
    return time_label(at) if at else ""


def promise(delivery: Delivery) -> str:
    """Return by when Kaspi promised to deliver, marked if that time has passed; or from when it is to be booked."""
    due_at, now = delivery.delivery_by, clock.now()
    if delivery.is_postponed:
        return gettext("to be booked from %(time)s") % {"time": moment(delivery.not_before)}
    if due_at is None or delivery.status not in statuses.OPEN:
        return ""
    if due_at >= now:
        return gettext("in %(time)s") % {"time": duration_label(due_at - now)}
    late_for = age_label(due_at).replace(" ", "\N{NO-BREAK SPACE}")  # a unit stays beside its number
    return badge(gettext("overdue: %(time)s") % {"time": late_for}, "!", "bad")


def order_link(site: admin.AdminSite, delivery: Delivery, *, shows_personal: bool) -> str:
    """Link the shop's own page of the order, where its admin has one; no query for each row."""
    _kind, url = _shop_page(site, delivery)
    return link(url, order_name(delivery, shows_personal=shows_personal))


def short(text: str) -> str:
    """Return a text whose long words, such as UUIDs, are cut in the middle."""
    return _LONG_WORD.sub(r"\1…\2", text)


def short_id(text: str) -> str:
    """Show an id in its short form; the whole id is its title, and is copied by a button."""
    if not text:
        return ""
    return format_html('<span class="kd-id"><bdi title="{}">{}</bdi>{}</span>', text, short(text), copy_button(text))


def order_name(delivery: Delivery, *, shows_personal: bool) -> str:
    """Return the shop's own name for the order, else its id at Kaspi."""
    is_shown = shows_personal or not delivery.label_is_personal
    return delivery.order_label if delivery.order_label and is_shown else str(delivery)


def row_name(request: HttpRequest, row: Model) -> str:
    """Return a row's name: of a delivery the shop's own, then its external order ID."""
    if not isinstance(row, Delivery):
        return str(row)
    name = order_name(row, shows_personal=may_see_personal_data(request))
    return name if name == str(row) else f"{name} ({row})"


def order_cell(site: admin.AdminSite, delivery: Delivery, *, shows_personal: bool) -> str:
    """Link a row's delivery by its order's name, and the shop's order; the id at Kaspi where it is another number."""
    name = order_name(delivery, shows_personal=shows_personal)
    url = address(site, "kaspi_delivery_delivery_change", delivery.pk)
    is_other = delivery.external_key != number_key(name)
    number = short_id(str(delivery)) if is_other else copy_button(name)
    return format_html(
        '<bdi class="kd-name" title="{}">{}</bdi><div class="kd-line">{} {}</div>',
        name,
        link(url, short(name)),
        number,
        _shop_order(site, delivery),
    )


def _shop_page(site: admin.AdminSite, delivery: Delivery) -> tuple[ContentType, str]:
    kind = content_types().get_for_id(delivery.content_type_id)
    return kind, address(site, f"{kind.app_label}_{kind.model}_change", quote(delivery.object_id))


def _shop_order(site: admin.AdminSite, delivery: Delivery) -> str:
    kind, url = _shop_page(site, delivery)
    name = f"{kind.name} {delivery.object_id}"
    return format_html('<a href="{0}" title="{1}" aria-label="{1}">{2}</a>', url, name, kind.name) if url else ""


def page_link(site: admin.AdminSite, row: Model | None, *, text: object = None) -> str:
    if row is None:
        return ""
    return link(address(site, f"{row._meta.app_label}_{row._meta.model_name}_change", quote(row.pk)), text or row)


def row_link(site: admin.AdminSite, request: HttpRequest, row: Model) -> str:
    return page_link(site, row, text=row_name(request, row))


def address(site: admin.AdminSite, page: str, *keys: object) -> str:
    """Return where a page of this site is; nothing for a site that does not have it."""
    try:
        return reverse(f"{site.name}:{page}", args=keys)
    except NoReverseMatch:
        return ""


def link(url: str, text: object) -> str:
    """Return a link, or the text alone where there is nothing to link."""
    return format_html('<a href="{}">{}</a>', url, text) if url else str(text)


def copy_button(text: str, label: str = "") -> SafeString:
    """Return a button that copies the text, shown by copy.js; a `label` is visible, else there is only a picture."""
    name = format_html("<span>{}</span>", label) if label else ""
    return format_html(
        '<button type="button" class="kd-copy" data-kd-copy="{}" data-kd-copied="{}" title="{}" aria-label="{}" hidden>'
        '<svg viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d="M5.5 5.5h8v8h-8z"/>'
        '<path d="M10.5 5V2.5h-8v8H5"/></svg>{}<span class="kd-unseen" role="status"></span></button>',
        text,
        gettext("Copied"),
        gettext("Copy"),
        label or gettext("Copy %(text)s") % {"text": text},
        name,
    )


def list_url(site: admin.AdminSite, request: HttpRequest, model: str, **query: str) -> str:
    """Return the URL of one of our lists, filtered; empty for users who cannot view it."""
    if not request.user.has_perm(f"kaspi_delivery.view_{model}"):
        return ""
    return reverse(f"{site.name}:kaspi_delivery_{model}_changelist", query=query)


def tracking_link(delivery: Delivery, text: str) -> str:
    """Link the tracking page, if it is where Kaspi's pages are; show it as text otherwise."""
    url = delivery.allowed_tracking_url
    return external_link(url, text) if url else delivery.tracking_url


def external_link(url: str, text: str) -> str:
    """Return a link that opens a page outside the admin."""
    return format_html('<a href="{}" rel="noopener noreferrer" target="_blank">{}</a>', url, text)


def copied(shown: object, text: str | None) -> str:
    """Return what is shown of a text with the button that copies the text; empty for no text."""
    return format_html("<bdi>{}</bdi> {}", shown, copy_button(text)) if text else ""


def may_see_personal_data(request: HttpRequest) -> bool:
    return bool(request.user.has_perm(VIEW_PERSONAL_DATA))


def delivery_facts(site: admin.AdminSite, request: HttpRequest, delivery: Delivery) -> Iterable[str]:
    """Return what staff know a delivery by beside its name: order, status, and the customer if the user may see it."""
    yield _shop_order(site, delivery)
    yield format_html("{} {}", way_badge(delivery), status_badge(delivery.status))
    if may_see_personal_data(request):
        yield ", ".join(filter(None, (delivery.customer_name, delivery.customer_address)))


def visible(request: HttpRequest, names: Iterable[Any], personal: tuple[str, ...]) -> list[Any]:
    """Return the names of the fields that the user may see."""
    hidden = () if may_see_personal_data(request) else personal
    return [name for name in names if name not in hidden]


def masked(request: HttpRequest, model: type[Model], names: Iterable[Any], personal: tuple[str, ...]) -> list[Any]:
    """Mask fields that the user must not see; the others are written for the reader."""
    hidden = () if may_see_personal_data(request) else personal
    return as_read(model, [_mask(model, name) if name in hidden else name for name in names])


def as_read(model: type[Model], names: Iterable[Any]) -> list[Any]:
    """Replace the fields that the reader would not read as they are stored by columns that write them."""
    fields = {field.name: field for field in model._meta.fields}
    return [_as_read(fields[name]) if name in fields else name for name in names]


def _as_read(field: Any) -> Any:
    write = moment if isinstance(field, DateTimeField) else _WRITERS.get(field.name)
    return Column(field.name, field.verbose_name, write) if write else field.name


_WRITERS: Mapping[str, Callable[[Any], str]] = {
    **dict.fromkeys(("body", "payload", "raw"), readable_text),  # stored in ASCII
    **dict.fromkeys(("closed_reason", "error", "error_message"), errors.translated),  # stored in English
    "failure": errors.translated_refusal,
    "request_id": short_id,
    **dict.fromkeys(("parcel_weight_grams", "parcel_value_kzt"), number_label),
}


@dataclass(frozen=True)
class Column:
    """A column of a table, or a line of a page, that writes a field for its reader."""

    name: str
    short_description: object
    write: Callable[[Any], str]

    @property
    def __name__(self) -> str:  # Django's name of the column
        return self.name

    def __str__(self) -> str:
        return self.name

    def __call__(self, row: Any) -> str:
        """Return the text, or what Django writes for no value: a page would show a callable's as None."""
        value = getattr(row, self.name)
        return NO_VALUE if value is None else self.write(value) or NO_VALUE


@lru_cache
def _mask(model: type[Model], name: str) -> Callable[[Any], str]:
    @admin.display(description=model._meta.get_field(name).verbose_name)  # type: ignore[union-attr]  # the field exists
    def hidden(_row: Any) -> str:
        return HIDDEN

    hidden.__name__ = f"masked_{name}"
    return hidden
