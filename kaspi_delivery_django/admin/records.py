"""The pages of calls, events, status changes and account states."""

from collections.abc import Iterable

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin.asking import AskingAdmin, Exit
from kaspi_delivery_django.admin.exits import REPLAY
from kaspi_delivery_django.admin.mirrors import MirrorAdmin
from kaspi_delivery_django.models import AccountState, ApiCall, StatusChange, WebhookEvent


@admin.register(ApiCall)
class ApiCallAdmin(MirrorAdmin):
    """What we asked of Kaspi, or mean to."""

    list_display = ("__str__", "state", "attempts", "next_attempt_at", "http_status")
    list_filter = ("state", "kind")
    search_fields = ("idempotency_key",)
    ordering = ("-pk",)
    raw_id_fields = ("delivery",)
    personal = ("payload", "error_message")


@admin.register(WebhookEvent)
class WebhookEventAdmin(AskingAdmin):
    """What Kaspi told us, and a replay of what could not be applied."""

    list_display = ("__str__", "external_order_id", "state", "received_count", "received_at")
    list_filter = ("state", "type")
    search_fields = ("event_id", "external_order_id", "kaspi_delivery_id")
    ordering = ("-pk",)
    personal = ("body",)
    actions = ("replay_events",)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Tell whether this person may replay events."""
        return request.user.has_perm("kaspi_delivery.replay_event")

    @admin.action(description=_("Replay selected events"), permissions=["replay"])
    def replay_events(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> HttpResponse | None:
        """Apply several again, the oldest first."""
        return self.ask_about(request, queryset.order_by("pk"), REPLAY)

    def ways_out(self, row: WebhookEvent) -> Iterable[tuple[str, Exit]]:
        """Name the replay, where it can change something."""
        return [("replay", REPLAY)] if row.state in WebhookEvent.DEAD_LETTERS else []

    def exit_of(self, row: WebhookEvent, name: str) -> Exit | None:
        """Return the replay."""
        return REPLAY if name == "replay" else None


@admin.register(StatusChange)
class StatusChangeAdmin(MirrorAdmin):
    """Every step of every delivery."""

    personal = ("note",)
    list_display = ("delivery", "__str__", "at", "source", "applied", "notified_at")
    list_filter = ("source", "applied")
    list_select_related = ("delivery",)
    ordering = ("-pk",)


@admin.register(AccountState)
class AccountStateAdmin(MirrorAdmin):
    """The gate of each account, and its worker's last sign of life."""

    list_display = ("account", "environment", "closed_until", "closed_reason", "worker_seen_at")
