"""The pages of status changes and account states."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, filters
from kaspi_delivery_django.admin.actions import HOLD, RELEASE
from kaspi_delivery_django.admin.columns import OrderColumn
from kaspi_delivery_django.admin.confirmation import ConfirmedActionsAdmin
from kaspi_delivery_django.admin.outcomes import Action
from kaspi_delivery_django.admin.readonly import ReadOnlyAdmin
from kaspi_delivery_django.models import AccountState, StatusChange
from kaspi_delivery_django.services.outbox import circuit_breaker


@admin.register(StatusChange)
class StatusChangeAdmin(OrderColumn, ReadOnlyAdmin):
    personal = ("note",)
    list_display = ("at", "order_page", "step", "source", "applied", "notified_at")
    list_filter = (filters.SinceFilter,)
    list_prefetch_related = ("delivery",)
    search_fields = ("delivery",)
    search_help_text = filters.SEARCH_HELP

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        names = super().get_fields(request, obj)
        return ["step", *(name for name in names if name not in {"from_status", "to_status"})]

    def find(self, request: HttpRequest, term: str) -> Q:
        return Q(delivery__in=filters.delivery_keys(request, term))

    @admin.display(description=_("step"))
    def step(self, change: StatusChange) -> str:
        """Return both statuses; a late update is marked."""
        after = display.status_badge(change.to_status)
        if not change.applied:
            late = display.badge(gettext("late, not applied"), "—", "ended")
            return format_html("<span>{} {}</span>", after, late)
        return format_html("<span>{} → {}</span>", display.status_badge(change.from_status), after)


@admin.register(AccountState)
class AccountStateAdmin(ConfirmedActionsAdmin):
    """Each account's circuit breaker, its worker's last heartbeat, and the hold of sending."""

    list_display = (
        "account",
        "environment",
        "held_at",
        "closed_until",
        "closed_reason",
        "announcement",
        "worker_seen_at",
    )

    def row_actions(self, row: AccountState) -> Iterable[tuple[str, Action]]:
        return [("release", RELEASE)] if circuit_breaker.is_held() else [("hold", HOLD)]

    def row_action(self, row: AccountState, name: str) -> Action | None:
        return {"hold": HOLD, "release": RELEASE}.get(name)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Record the user, shown beside the hold."""
        obj.asked_by = request.user.get_username()
        return super().log_change(request, obj, message)
