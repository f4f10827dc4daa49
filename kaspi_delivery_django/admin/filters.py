"""Searches by delivery, and list filters whose choices read no whole table."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import conf, orders
from kaspi_delivery_django.admin import display
from kaspi_delivery_django.formats import time_label
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.stats import accounts, days, recent
from kaspi_delivery_django.stats.snapshot import (
    NOT_BOOKED,
    OTHER,
    CountUpTo,
    counted,
    is_unserved,
    read_together,
)
from kaspi_delivery_django.statuses import CANCELLED, DELIVERED, STATUS_LABELS

Choices = Iterable[tuple[Any, Any]]
ANY = "any"
MAX_KEYS = 1000
SEARCH_HELP = _("An order's number or id; with access to personal data also the customer's phone, name or city")


def deliveries_found(request: HttpRequest, term: str) -> Q:
    """Return the condition that a delivery is meant by a search term; by personal data if the user may see it."""
    is_allowed = display.may_see_personal_data(request)
    return Delivery.objects.matching(term, order_ids=orders.key_texts(term), shows_personal=is_allowed)


def delivery_keys(request: HttpRequest, term: str) -> list[int]:
    """Return the primary keys of the newest deliveries that are meant by a search term.

    A search by these keys needs no join: no engine's index answers a join combined with an "or".
    """
    found = Delivery.objects.filter(deliveries_found(request, term)).order_by("-pk")
    return list(found.values_list("pk", flat=True)[:MAX_KEYS])


class ChoiceFilter(admin.SimpleListFilter):
    """A filter by one column. Its choices are known beforehand: looking for them would read the whole table."""

    def value(self) -> str | None:
        chosen = super().value()
        return chosen if chosen in {str(key) for key, _label in self.lookup_choices} else None

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset if value is None else self.filter_by(queryset, value)

    def filter_by(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        """Return the rows that this choice stands for."""
        return rows.filter(**{str(self.parameter_name): value})


class StatusFilter(ChoiceFilter):
    """Kaspi's word, or none yet."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> Choices:
        return [*((status or NOT_BOOKED, label) for status, label in STATUS_LABELS.items()), (OTHER, _("Other"))]

    def filter_by(self, rows: Any, value: str) -> Any:
        if value == OTHER:
            return rows.in_unknown_status()
        return rows.filter(status="" if value == NOT_BOOKED else value)


class AttentionFilter(ChoiceFilter):
    """The reasons for attention that occur, with their counts, or any."""

    title = _("attention")
    parameter_name = "attention"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> Choices:
        return [(ANY, _("For any reason")), *Attention.choices]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Offer the reasons that occur, and the chosen one, with their counts: read where the panel is shown."""
        rows = {reason: CountUpTo(Delivery.objects.filter(attention=reason)) for reason in Attention.values}
        counts = {reason: count for reason, count in read_together(rows).items() if count}
        found = {ANY: sum(counts.values()), **counts}
        self.lookup_choices = [
            (key, f"{label} ({counted(found.get(key, 0))})")
            for key, label in self.lookup_choices
            if key in found or key == self.value()
        ]
        yield from super().choices(changelist)

    def filter_by(self, rows: Any, value: str) -> Any:
        return rows.flagged() if value == ANY else super().filter_by(rows, value)


class DueFilter(ChoiceFilter):
    title = _("promise")
    parameter_name = "promise"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> Choices:
        return [("overdue", _("Overdue"))]

    def filter_by(self, rows: Any, value: str) -> Any:
        return rows.overdue(clock.now())


class AccountFilter(ChoiceFilter):
    """The accounts of the settings, and those that are gone from them; left out when there is one."""

    title = _("account")
    parameter_name = "account"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> Choices:
        """Offer the aliases. They are read from the table of account states, which has a row for each."""
        aliases = accounts.aliases()
        return [(alias, alias) for alias in aliases] if len(aliases) > 1 else []


class EnvironmentFilter(ChoiceFilter):
    """The environments of the settings; left out when there is one."""

    title = _("environment")
    parameter_name = "environment"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> Choices:
        """Offer those in use. Few and old rows of a former one would be looked for through the whole table."""
        names = sorted({account.environment for account in conf.current().accounts.values()})
        return [(name, name) for name in names] if len(names) > 1 else []


class StateFilter(ChoiceFilter):
    """The state of a row."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, _request: HttpRequest, model_admin: Any) -> Choices:
        return list(model_admin.model.State.choices)


class GroupedStateFilter(StateFilter):
    """The state of a row; `together` offers several of them as one choice: its value, label and states."""

    together: tuple[str, Any, Iterable[str]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        value, label, _states = self.together
        return [(value, label), *super().lookups(request, model_admin)]

    def filter_by(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        several, _label, states = self.together
        return rows.filter(state__in=states) if value == several else super().filter_by(rows, value)


class SinceFilter(ChoiceFilter):
    """How far back to look, by a time that has an index."""

    title = _("time")
    parameter_name = "since"
    column = "created_at"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> Choices:
        return [
            ("1", _("The last hour")),
            ("24", _("The last 24 hours")),
            ("168", _("The last 7 days")),
            ("720", _("The last 30 days")),
        ]

    def filter_by(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(**{f"{self.column}__gte": clock.now() - timedelta(hours=int(value))})


class ReceivedFilter(SinceFilter):
    column = "received_at"


class UpdatedFilter(SinceFilter):
    column = "updated_at"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Name every state too: the index begins with it."""
        return super().queryset(request, queryset).filter(state__in=ApiCall.State.values)


class FailedFilter(SinceFilter):
    column = "at"


class LinkedFilter(ChoiceFilter):
    """The rows behind a number of the dashboard. It is offered only while the address asks for it."""

    def lookups(self, request: HttpRequest, _model_admin: Any) -> Choices:
        value = request.GET.get(str(self.parameter_name), "")
        label = self.label(request, value)
        return [(value, label)] if label else []

    def label(self, request: HttpRequest, value: str) -> str:
        """Return the label of a value; empty for an unknown one."""
        raise NotImplementedError

    def condition(self, value: str) -> Q:
        """Return the condition that a known value stands for: one that an index answers."""
        raise NotImplementedError

    def filter_by(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        """Keep the rows that were counted. Named by their keys, or SQLite would walk through the table."""
        matching = rows.model._default_manager.filter(self.condition(value))
        return rows.filter(pk__in=matching.order_by().values("pk"))


KIND_LABELS = {
    days.BOOKED: pgettext_lazy("parcels", "Booked"),
    DELIVERED: pgettext_lazy("parcels", "Delivered"),
    CANCELLED: pgettext_lazy("parcels", "Cancelled"),
}
LAST_WEEK = f"{DELIVERED}:week"
EARLIEST = date(2000, 1, 1)


def day_label(day: date) -> str:
    ago = (days.today() - day).days
    names = {0: gettext("today"), 1: gettext("yesterday")}
    return names.get(ago) or time_label(day, "j E")


class DayFilter(LinkedFilter):
    """The parcels booked, delivered or cancelled on one day: "booked:2026-03-01". Today's are always offered."""

    title = _("day")
    parameter_name = "day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        today = days.today()
        offered = [f"{kind}:{today.isoformat()}" for kind in days.KINDS]
        asked = [choice for choice in super().lookups(request, model_admin) if choice[0] not in offered]
        return [*((value, self.label(request, value)) for value in offered), *asked]

    def label(self, _request: HttpRequest, value: str) -> str:
        if value == LAST_WEEK:
            return f"{KIND_LABELS[DELIVERED]}: {gettext('The last 7 days')}"
        kind, day = _kind_and_day(value)
        return f"{KIND_LABELS[kind]}: {day_label(day)}" if day else ""

    def condition(self, value: str) -> Q:
        kind, day = _kind_and_day(value)
        return Q(pk__in=days.steps(kind, day).order_by().values("delivery")) if day else recent.arrived(clock.now())


def _kind_and_day(value: str) -> tuple[str, date | None]:
    """Return the two parts; no day for a value that is not one of a day that was."""
    kind, _colon, text = value.partition(":")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return kind, None
    is_known = kind in days.KINDS and EARLIEST <= day <= days.today()
    return kind, day if is_known else None


class ReasonFilter(LinkedFilter):
    """The cancels of the last week for one reason. The address has no reason, which may name people: only a digest."""

    title = _("cancel reason")
    parameter_name = "reason"

    def label(self, request: HttpRequest, value: str) -> str:
        """Find the reason among those that the dashboard shows, for users who may read them."""
        self.reason = None
        if value and request.user.has_perm("kaspi_delivery.view_personal_data"):
            found = recent.cancel_reasons(clock.now())
            self.reason = next((reason for reason, _count in found if digest(reason) == value), None)
        return "" if self.reason is None else self.reason or gettext("no reason given")

    def condition(self, value: str) -> Q:
        return Q(recent.cancel_requested(clock.now()), cancel_reason=self.reason)


def digest(reason: str) -> str:
    """Return what stands for a reason in an address."""
    return salted_hmac("kaspi_delivery.reason", reason, algorithm="sha256").hexdigest()[:16]


class UnservedFilter(LinkedFilter):
    """The deliveries saved for an account and environment that the settings do not have: "sandbox/default"."""

    title = _("saved for")
    parameter_name = "saved_for"

    def label(self, _request: HttpRequest, value: str) -> str:
        environment, _slash, account = value.partition("/")
        return f"{account} ({environment})" if environment in conf.BASE_URLS and account else ""

    def condition(self, value: str) -> Q:
        environment, _slash, account = value.partition("/")
        return Q(is_unserved(), account=account, environment=environment)
