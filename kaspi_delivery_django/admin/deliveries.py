"""The pages of deliveries, with what can be done about them, and of their status changes."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import conf
from kaspi_delivery_django.admin import dashboard, display, explanations, exports, filters
from kaspi_delivery_django.admin.actions import ACTIONS, actions_for
from kaspi_delivery_django.admin.columns import CallsInline, DeliveryColumns, EventsInline, OrderColumn
from kaspi_delivery_django.admin.confirmation import ConfirmedActionsAdmin, bulk_action
from kaspi_delivery_django.admin.outcomes import Action
from kaspi_delivery_django.admin.readonly import ReadOnlyAdmin
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.deliveries import rules
from kaspi_delivery_django.services.maintenance.pruning import PERSONAL
from kaspi_delivery_django.tracking import tracking_path


def _place(side: str) -> tuple[tuple[str, ...], ...]:
    return (tuple(f"{side}_{part}" for part in ("name", "phone", "address", "notes")),)


_GROUPS: tuple[tuple[Any, tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = (
    (_("Dropoff"), (), _place("dropoff")),
    (_("Parcel"), (), (("parcel_description", "parcel_weight_grams", "parcel_value_kzt"),)),
    (_("Pickup"), (), _place("pickup")),
    (
        _("Record"),
        ("collapse",),
        (
            ("account", "environment", "parcel", "generation"),
            ("created_at", "updated_at", "next_refresh_at", "final_at", "blanked_at"),
            ("raw",),
        ),
    ),
)


@admin.register(Delivery)
class DeliveryAdmin(OrderColumn, DeliveryColumns, ConfirmedActionsAdmin):
    """Deliveries: their status, and what needs attention."""

    list_display = ("order_page", "customer", "status_text", "age", "attention_text", "tracking_page")
    list_display_links = None
    list_filter = (
        filters.AttentionFilter,
        filters.DueFilter,
        filters.StatusFilter,
        filters.SinceFilter,
        filters.AccountFilter,
        filters.EnvironmentFilter,
        filters.DayFilter,
        filters.ReasonFilter,
        filters.UnservedFilter,
    )
    list_prefetch_related = ()
    search_fields = ("external_order_id", "delivery_id", "object_id")
    inlines = (CallsInline, EventsInline)
    actions = ("cancel_deliveries", "retry_deliveries", "refresh_deliveries", "return_deliveries", "print_labels")
    personal = (*PERSONAL, "parcel_weight_grams", "parcel_value_kzt")

    cancel_deliveries = bulk_action(ACTIONS["cancel"], _("Cancel selected deliveries"))
    retry_deliveries = bulk_action(ACTIONS["retry"], _("Retry selected deliveries now"))
    refresh_deliveries = bulk_action(ACTIONS["refresh"], _("Ask Kaspi about selected deliveries now"))
    return_deliveries = bulk_action(ACTIONS["return"], _("Book returns of selected deliveries"))

    def has_personal_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may take personal data out: print labels, and export the list."""
        return display.may_see_personal_data(request)

    def get_urls(self) -> list[Any]:
        pages = {"dashboard": dashboard.page, "labels": exports.labels_of_today, "export": exports.csv_file}
        views = {name: self.admin_site.admin_view(partial(page, self)) for name, page in pages.items()}
        own = [path(f"{name}/", view, name=f"kaspi_delivery_{name}") for name, view in views.items()]
        return [*own, *super().get_urls()]

    def get_list_display(self, request: HttpRequest) -> Any:
        """Name the customer to users who can view personal data, and the account where there are several."""
        shown = display.visible(request, super().get_list_display(request), ("customer",))
        return [*shown, "account"] if len(conf.current().accounts) > 1 else shown

    def find(self, request: HttpRequest, term: str) -> Q:
        return filters.deliveries_found(request, term)

    def delivery_of(self, row: Delivery) -> Delivery:
        return row

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Group the fields that have a value, and mask those that the user may not see."""
        groups = [(title, styles, [_filled(obj, line) for line in lines]) for title, styles, lines in _GROUPS]
        masked = partial(display.masked, request, Delivery, personal=self.personal)
        return [
            (title, {"classes": styles, "fields": [masked(line) for line in lines if line]})
            for title, styles, lines in groups
            if any(lines)
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Put above the fields what is wrong, how the delivery stands, and its timeline."""
        delivery = context["original"]
        rules.read_calls([delivery])
        context["subtitle"] = display.row_name(request, delivery)
        context["problem"] = explanations.explain_problem(delivery)
        context["facts"] = [(name, value) for name, value in self._facts(request, delivery) if value]
        if request.user.has_perm("kaspi_delivery.view_statuschange"):
            context["timeline"] = [
                (display.moment(change.at), display.status_badge(change.to_status), change)
                for change in StatusChange.objects.filter(delivery=delivery).order_by("-at", "-pk")
            ]
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=_("customer"))
    def customer(self, delivery: Delivery) -> str:
        return delivery.customer_name

    @admin.display(description=_("in status for"))
    def age(self, delivery: Delivery) -> str:
        return format_html('{}<div class="kd-line">{}</div>', self.in_status_for(delivery), self.promise(delivery))

    def _facts(self, request: HttpRequest, delivery: Delivery) -> Iterator[tuple[Any, Any]]:
        """Yield what staff look for first; an empty value is left out."""
        yield _("status"), self.status_text(delivery)
        yield _("in status for"), self.in_status_for(delivery)
        yield _("promised"), self.promise(delivery)
        for name in ("pickup_by", "delivery_by", "cancel_requested_at"):
            yield _label(name), display.moment(getattr(delivery, name))
        shows_personal = display.may_see_personal_data(request)
        order = display.order_link(self.admin_site, delivery, shows_personal=shows_personal)
        yield _("order"), display.copied(order, display.order_name(delivery, shows_personal=shows_personal))
        yield from self._other_way(delivery)
        for name in ("cancel_reason", "return_reason"):
            text = getattr(delivery, name)
            yield _label(name), display.HIDDEN if text and not shows_personal else text
        for name in ("external_order_id", "delivery_id"):
            yield _label(name), display.copied(getattr(delivery, name), getattr(delivery, name))
        pages = (_own_page(request, delivery), _kaspis_page(delivery))
        yield _("tracking"), format_html_join(" ", "{}", ((page,) for page in pages if page))

    def _other_way(self, delivery: Delivery) -> Iterator[tuple[Any, Any]]:
        """Yield links to the delivery's returns, or to the delivery that a return brings back."""
        if delivery.is_return:
            yield _("return of"), display.page_link(self.admin_site, delivery.returned_delivery())
            return
        links = (
            (display.page_link(self.admin_site, one), display.status_badge(one.status)) for one in delivery.returns()
        )
        yield _("return"), format_html_join(" ", "{} {}", links)

    @admin.action(description=_("Print labels of selected deliveries"), permissions=["personal"])
    def print_labels(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse:
        return exports.labels(self, request, queryset, gettext("Labels"))

    def row_actions(self, row: Delivery) -> Iterable[tuple[str, Action]]:
        """Name what can be done about the delivery now, what is dangerous last."""
        possible = rules.allowed_actions(row, clock.now())
        ways = [(name, way) for name, way in actions_for(row).items() if name in possible]
        return sorted(ways, key=lambda named: named[1].is_dangerous)

    def row_action(self, row: Delivery, name: str) -> Action | None:
        return actions_for(row).get(name)


@admin.register(StatusChange)
class StatusChangeAdmin(OrderColumn, ReadOnlyAdmin):
    personal = ("note",)
    list_display = ("at", "order_page", "step", "source", "applied", "notified_at")
    list_filter = (filters.SinceFilter,)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        names = super().get_fields(request, obj)
        return ["step", *(name for name in names if name not in {"from_status", "to_status"})]

    @admin.display(description=_("step"))
    def step(self, change: StatusChange) -> str:
        """Return both statuses; a late update is marked."""
        after = display.status_badge(change.to_status)
        if not change.applied:
            late = display.badge(gettext("late, not applied"), "—", "ended")
            return format_html("<span>{} {}</span>", after, late)
        return format_html("<span>{} → {}</span>", display.status_badge(change.from_status), after)


def _label(name: str) -> Any:
    return Delivery._meta.get_field(name).verbose_name  # type: ignore[union-attr]  # a column of its own


def _filled(delivery: Delivery | None, names: Iterable[str]) -> list[str]:
    """Return the names of the fields that have a value; zero is one."""
    return [name for name in names if delivery is not None and getattr(delivery, name) not in {None, ""}]


def _own_page(request: HttpRequest, delivery: Delivery) -> str:
    """Link what the customer sees, if the project includes our addresses, until the data is anonymized."""
    page = "" if delivery.blanked_at else tracking_path(delivery)
    url = request.build_absolute_uri(page) if page else ""
    return display.copied(display.external_link(url, gettext("Link for the customer")), url)


def _kaspis_page(delivery: Delivery) -> str:
    url = delivery.allowed_tracking_url
    return display.copied(display.tracking_link(delivery, gettext("Kaspi's page")), url) or delivery.tracking_url
