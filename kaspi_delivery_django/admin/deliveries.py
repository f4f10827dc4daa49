"""The page of deliveries, with their history, calls and events, and what can be done about them."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import conf, orders
from kaspi_delivery_django.admin import dashboard, display, explanations, exports, filters
from kaspi_delivery_django.admin.actions import ACTIONS, actions_for
from kaspi_delivery_django.admin.columns import DeliveryColumns
from kaspi_delivery_django.admin.confirmation import Action, ConfirmedActionsAdmin
from kaspi_delivery_django.admin.inlines import CallsInline, EventsInline, HistoryInline
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.deliveries import rules
from kaspi_delivery_django.services.maintenance.pruning import PERSONAL

LEAST_PHONE_DIGITS = 4


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
class DeliveryAdmin(DeliveryColumns, ConfirmedActionsAdmin):
    """Deliveries: their status, and what needs attention."""

    list_display = ("__str__", "attention_text", "status_text", "in_status_for", "promise", "order", "tracking_page")
    list_filter = (
        filters.AttentionFilter,
        filters.DueFilter,
        filters.StatusFilter,
        filters.SinceFilter,
        filters.AccountFilter,
        filters.EnvironmentFilter,
    )
    search_fields = ("external_order_id", "delivery_id", "object_id")
    search_help_text = _("An order id, external order id or delivery id, or the end of the customer's phone")
    inlines = (HistoryInline, CallsInline, EventsInline)
    actions = ("cancel_deliveries", "retry_deliveries", "refresh_deliveries", "print_labels")
    personal = (*PERSONAL, "parcel_weight_grams", "parcel_value_kzt")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may cancel deliveries."""
        return request.user.has_perm("kaspi_delivery.cancel_delivery")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may refresh and retry."""
        return request.user.has_perm("kaspi_delivery.retry_delivery")

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
        """Name the account where there are several."""
        several = len(conf.current().accounts) > 1
        return (*self.list_display, "account") if several else self.list_display

    def find(self, request: HttpRequest, term: str) -> Q:
        """Search ids as a whole, and phones by their last digits if the user may see phones."""
        found = Q(external_order_id=term) | Q(delivery_id=term) | Q(object_id__in=orders.key_texts(term))
        digits = [sign for sign in term if sign.isascii() and sign.isdigit()]
        is_phone = len(digits) >= LEAST_PHONE_DIGITS and not set(term) - set("+-() 0123456789")
        if is_phone and display.may_see_personal_data(request):
            return found | Delivery.objects.phone_ending(term)
        return found

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Group the fields, and mask those that the user may not see."""
        return [
            (title, {"fields": [display.masked(request, Delivery, line, self.personal) for line in lines]})
            for title, lines in _GROUPS
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the computed fields too."""
        return ("order", "status_text", "in_status_for", "promise", "attention_text", "advice", "tracking")

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

    @admin.action(description=_("Print labels of selected deliveries"), permissions=["personal"])
    def print_labels(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse:
        """Show the chosen ones, to print."""
        return exports.labels(self, request, queryset, gettext("Labels"))

    def row_actions(self, row: Delivery) -> Iterable[tuple[str, Action]]:
        """Name what can be done about the delivery now."""
        possible = rules.allowed_actions(row, clock.now())
        return [(name, way) for name, way in actions_for(row).items() if name in possible]

    def row_action(self, row: Delivery, name: str) -> Action | None:
        """Return what stands behind the name."""
        return actions_for(row).get(name)
