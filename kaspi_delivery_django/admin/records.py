"""The pages of calls, events, status changes and account states."""

from django.contrib import admin

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
class WebhookEventAdmin(MirrorAdmin):
    """What Kaspi told us."""

    list_display = ("__str__", "external_order_id", "state", "received_count", "received_at")
    list_filter = ("state", "type")
    search_fields = ("event_id", "external_order_id", "kaspi_delivery_id")
    ordering = ("-pk",)
    personal = ("body",)


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
