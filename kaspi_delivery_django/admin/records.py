"""The pages of status changes and account states."""

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import lists
from kaspi_delivery_django.admin.columns import DeliveryLink, StepColumn
from kaspi_delivery_django.admin.mirrors import MirrorAdmin
from kaspi_delivery_django.models import AccountState, Delivery, StatusChange


@admin.register(StatusChange)
class StatusChangeAdmin(DeliveryLink, StepColumn, MirrorAdmin):
    """Every step of every delivery."""

    personal = ("note",)
    list_display = ("__str__", "delivery_page", "step", "at", "source", "applied", "notified_at")
    list_filter = (lists.SinceFilter,)
    list_prefetch_related = ("delivery",)
    search_fields = ("delivery",)
    search_help_text = _("An external order id or a delivery id")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show the step in the reader's words."""
        names = super().get_fields(request, obj)
        return ["step", *(name for name in names if name not in {"from_status", "to_status"})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Name what is computed."""
        return ("step",)

    def find(self, request: HttpRequest, term: str) -> Q:
        """Look for the steps of a delivery."""
        return Q(delivery__in=Delivery.objects.keys_of(term))


@admin.register(AccountState)
class AccountStateAdmin(MirrorAdmin):
    """The gate of each account, and its worker's last sign of life."""

    list_display = ("account", "environment", "closed_until", "closed_reason", "announcement", "worker_seen_at")
