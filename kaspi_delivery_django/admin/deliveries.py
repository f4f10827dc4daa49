"""The page of deliveries, with their history, calls and events, and what can be done about them."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import conf
from kaspi_delivery_django.admin import dashboard, display, explanations, exports, filters
from kaspi_delivery_django.admin.actions import ACTIONS, actions_for
from kaspi_delivery_django.admin.columns import DeliveryColumns, OrderColumn
from kaspi_delivery_django.admin.confirmation import Action, ConfirmedActionsAdmin
from kaspi_delivery_django.admin.inlines import CallsInline, EventsInline
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.deliveries import rules
from kaspi_delivery_django.services.maintenance.pruning import PERSONAL
from kaspi_delivery_django.tracking import allowed_tracking_url, tracking_path


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
    search_fields = ("external_order_id", "delivery_id", "object_id")
    search_help_text = filters.SEARCH_HELP
    inlines = (CallsInline, EventsInline)
    actions = ("cancel_deliveries", "retry_deliveries", "refresh_deliveries", "return_deliveries", "print_labels")
    personal = (*PERSONAL, "parcel_weight_grams", "parcel_value_kzt")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may cancel deliveries."""
        return request.user.has_perm("kaspi_delivery.cancel_delivery")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may refresh and retry."""
        return request.user.has_perm("kaspi_delivery.retry_delivery")

    def has_return_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may book returns."""
        return request.user.has_perm("kaspi_delivery.return_delivery")

    def has_personal_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may take personal data out: print labels, and export the list."""
        return display.may_see_personal_data(request)

    def get_urls(self) -> list[Any]:
        """Add the dashboard, the labels of today, and the CSV file."""
        pages = {"dashboard": self.dashboard_view, "labels": self.labels_view, "export": self.export_view}
        own = [
            path(f"{name}/", self.admin_site.admin_view(view), name=f"kaspi_delivery_{name}")
            for name, view in pages.items()
        ]
        return [*own, *super().get_urls()]

    def dashboard_view(self, request: HttpRequest) -> HttpResponse:
        """Show the dashboard to users who can view deliveries."""
        return dashboard.page(self, request)

    def labels_view(self, request: HttpRequest) -> HttpResponse:
        """Show what leaves today, to print."""
        return exports.labels_of_today(self, request)

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Stream the list as a CSV file."""
        return exports.csv_file(self, request)

    def get_list_display(self, request: HttpRequest) -> Any:
        """Name the customer to users who can view personal data, and the account where there are several."""
        hidden = () if display.may_see_personal_data(request) else ("customer",)
        shown = [name for name in super().get_list_display(request) if name not in hidden]
        return [*shown, "account"] if len(conf.current().accounts) > 1 else shown

    def find(self, request: HttpRequest, term: str) -> Q:
        """Search the deliveries themselves."""
        return filters.deliveries_found(request, term)

    def delivery_of(self, row: Delivery) -> Delivery:
        """Return the row."""
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
        """Name the customer."""
        return delivery.customer_name

    @admin.display(description=_("in status for"))
    def age(self, delivery: Delivery) -> str:
        """Return for how long it has had its status, and when it was promised."""
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

    @admin.action(description=_("Cancel selected deliveries"), permissions=["cancel"])
    def cancel_deliveries(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        """Cancel several, for one reason."""
        return self.confirm_bulk(request, queryset, ACTIONS["cancel"])

    @admin.action(description=_("Retry selected deliveries now"), permissions=["retry"])
    def retry_deliveries(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        """Retry the pending calls now."""
        return self.confirm_bulk(request, queryset, ACTIONS["retry"])

    @admin.action(description=_("Ask Kaspi about selected deliveries now"), permissions=["retry"])
    def refresh_deliveries(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        """Ask Kaspi how they stand."""
        return self.confirm_bulk(request, queryset, ACTIONS["refresh"])

    @admin.action(description=_("Book returns of selected deliveries"), permissions=["return"])
    def return_deliveries(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        """Have couriers fetch several parcels from their customers."""
        return self.confirm_bulk(request, queryset, ACTIONS["return"])

    @admin.action(description=_("Print labels of selected deliveries"), permissions=["personal"])
    def print_labels(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse:
        """Show the chosen ones, to print."""
        return exports.labels(self, request, queryset, gettext("Labels"))

    def row_actions(self, row: Delivery) -> Iterable[tuple[str, Action]]:
        """Name what can be done about the delivery now, what is dangerous last."""
        possible = rules.allowed_actions(row, clock.now())
        ways = [(name, way) for name, way in actions_for(row).items() if name in possible]
        return sorted(ways, key=lambda named: named[1].is_dangerous)

    def row_action(self, row: Delivery, name: str) -> Action | None:
        """Return what stands behind the name."""
        return actions_for(row).get(name)


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
    url = allowed_tracking_url(delivery)
    return display.copied(display.tracking_link(delivery, gettext("Kaspi's page")), url) or delivery.tracking_url
