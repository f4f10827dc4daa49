"""The page of deliveries, with their history, calls and events, and what can be done about them."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import conf
from kaspi_delivery_django.admin import dashboard, display, explanations, filters
from kaspi_delivery_django.admin.actions import ACTIONS, actions_for
from kaspi_delivery_django.admin.columns import DeliveryColumns, OrderColumn
from kaspi_delivery_django.admin.confirmation import Action, ConfirmedActionsAdmin
from kaspi_delivery_django.admin.inlines import CallsInline, EventsInline, HistoryInline
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.deliveries import rules
from kaspi_delivery_django.services.maintenance.pruning import PERSONAL


def _place(side: str) -> tuple[tuple[str, ...], ...]:
    return (f"{side}_name", f"{side}_phone"), (f"{side}_address", f"{side}_notes")


_PICKUP, _DROPOFF = _place("pickup"), _place("dropoff")
_GROUPS: tuple[tuple[Any, tuple[tuple[str, ...], ...]], ...] = (
    (
        None,
        (
            ("order", "delivery_id"),
            ("status_text", "in_status_for", "promise"),
            ("attention_text", "advice"),
            ("tracking",),
        ),
    ),
    (_("Promise"), (("pickup_by", "delivery_by", "next_refresh_at"),)),
    (_("Cancellation"), (("cancel_requested_at", "cancel_reason"),)),
    (_("Pickup"), _PICKUP),
    (_("Dropoff"), _DROPOFF),
    (_("Parcel"), (("parcel_description", "parcel_weight_grams", "parcel_value_kzt"),)),
    (_("Record"), (("account", "environment", "generation"), ("created_at", "updated_at", "final_at"), ("raw",))),
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
    )
    search_fields = ("external_order_id", "delivery_id", "object_id")
    search_help_text = filters.SEARCH_HELP
    inlines = (HistoryInline, CallsInline, EventsInline)
    actions = ("cancel_deliveries", "retry_deliveries", "refresh_deliveries")
    personal = (*PERSONAL, "parcel_weight_grams", "parcel_value_kzt")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may cancel deliveries."""
        return request.user.has_perm("kaspi_delivery.cancel_delivery")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may refresh and retry."""
        return request.user.has_perm("kaspi_delivery.retry_delivery")

    def get_urls(self) -> list[Any]:
        """Add the dashboard."""
        view = self.admin_site.admin_view(self.dashboard_view)
        return [path("dashboard/", view, name="kaspi_delivery_dashboard"), *super().get_urls()]

    def dashboard_view(self, request: HttpRequest) -> HttpResponse:
        """Show the dashboard to users who can view deliveries."""
        return dashboard.page(self, request)

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
        """Group the fields, and mask those that the user may not see."""
        return [
            (title, {"fields": [display.masked(request, Delivery, line, self.personal) for line in lines]})
            for title, lines in _GROUPS
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the computed fields too."""
        return ("order", "status_text", "in_status_for", "promise", "attention_text", "advice", "tracking")

    @admin.display(description=_("customer"))
    def customer(self, delivery: Delivery) -> str:
        """Name the customer."""
        return delivery.dropoff_name

    @admin.display(description=_("in status for"))
    def age(self, delivery: Delivery) -> str:
        """Return for how long it has had its status, and when it was promised."""
        return format_html('{}<div class="kd-line">{}</div>', self.in_status_for(delivery), self.promise(delivery))

    @admin.display(description=_("order"))
    def order(self, delivery: Delivery) -> str:
        """Link the shop's order."""
        return display.order_link(self.admin_site, delivery)

    @admin.display(description=_("what to do"))
    def advice(self, delivery: Delivery) -> str:
        """Explain how it leaves the list."""
        return explanations.explain_attention(delivery)

    @admin.display(description=_("tracking address"))
    def tracking(self, delivery: Delivery) -> str:
        """Link the customer's page."""
        return display.tracking_link(delivery)

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

    def row_actions(self, row: Delivery) -> Iterable[tuple[str, Action]]:
        """Name what can be done about the delivery now."""
        possible = rules.allowed_actions(row, clock.now())
        return [(name, way) for name, way in actions_for(row).items() if name in possible]

    def row_action(self, row: Delivery, name: str) -> Action | None:
        """Return what stands behind the name."""
        return actions_for(row).get(name)
