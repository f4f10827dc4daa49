"""Inline tables: a delivery's calls and events, and a call's failed attempts."""

from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, explanations
from kaspi_delivery_django.admin.columns import CallColumns, EventColumns
from kaspi_delivery_django.admin.readonly import ReadOnlyInline
from kaspi_delivery_django.models import ApiCall, FailedAttempt, WebhookEvent
from kaspi_delivery_django.services.db import db_alias

ATTEMPTS_SHOWN = 20


class CallsInline(CallColumns, ReadOnlyInline):
    """The delivery's calls to Kaspi, the newest first, with what went wrong."""

    personal = ("error_message",)
    model = ApiCall
    ordering = ("-pk",)
    fields = ("state_text", "waits", "attempts", "answer", "error_message", "failed_attempts")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Read the attempts of all calls in one query."""
        rows = FailedAttempt.objects.using(
            db_alias()
        )  # Django asks a prefetch without an alias for "default"'s features
        latest = rows.order_by("-pk")[:ATTEMPTS_SHOWN]
        shown = Prefetch("failed_attempts", queryset=latest, to_attr="latest_failures")
        return super().get_queryset(request).prefetch_related(shown)

    @admin.display(description=_("failed attempts"))
    def failed_attempts(self, call: Any) -> str:
        """List the tries that failed, the latest first."""
        lines = ((display.moment(row.at), explanations.explain_failure(row)) for row in call.latest_failures)
        return format_html_join("", '<div class="kd-line">{} {}</div>', lines) or "—"


class EventsInline(EventColumns, ReadOnlyInline):
    """The delivery's webhook events, the newest first."""

    model = WebhookEvent
    ordering = ("-pk",)
    fields = ("received_at", "event_id", "type", "state_text", "received_count", "why")


class AttemptsInline(ReadOnlyInline):
    """The tries of a call that failed."""

    personal = ("error_message",)
    model = FailedAttempt
    fields = ("at", "http_status", "error", "error_message", "request_id")
    ordering = ("-pk",)
    show_change_link = False
