"""The tables inside a page: a delivery's history, calls and events, and a call's failed attempts."""

from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import showing
from kaspi_delivery_django.admin.mirrors import MirrorInline
from kaspi_delivery_django.models import ApiCall, FailedAttempt, StatusChange, WebhookEvent

ATTEMPTS_SHOWN = 20


class HistoryInline(MirrorInline):
    """The delivery's timeline. Notes may carry what a courier or a clerk wrote."""

    verbose_name_plural = _("timeline")
    personal = ("note",)
    model = StatusChange
    fields = ("at", "step", "source", "note", "told")

    @admin.display(description=_("step"))
    def step(self, change: StatusChange) -> str:
        """Show from where to where; late news is kept, and marked as such."""
        after = showing.status_badge(change.to_status)
        if not change.applied:
            late = showing.badge(gettext("late news, not applied"), "—", "ended")
            return format_html("{} {}", after, late)
        return format_html("{} → {}", showing.status_badge(change.from_status), after)

    @admin.display(description=_("shop told at"))
    def told(self, change: StatusChange) -> Any:
        """Say when the shop's own code took it."""
        return showing.moment(change.notified_at) if change.applied else "—"


class CallsInline(MirrorInline):
    """The delivery's calls to Kaspi, with what went wrong."""

    personal = ("error_message",)
    model = ApiCall
    fields = ("kind", "idempotency_key", "state_text", "next_text", "attempts", "error_message", "failed_attempts")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Read the attempts of all calls in one query."""
        latest = FailedAttempt.objects.order_by("-pk")[:ATTEMPTS_SHOWN]
        shown = Prefetch("failed_attempts", queryset=latest, to_attr="latest_failures")
        return super().get_queryset(request).prefetch_related(shown)

    @admin.display(description=_("state"))
    def state_text(self, call: ApiCall) -> str:
        """Show our progress."""
        return showing.call_badge(call)

    @admin.display(description=_("waits"))
    def next_text(self, call: ApiCall) -> str:
        """Say what it waits for."""
        return waiting_text(call)

    @admin.display(description=_("failed attempts"))
    def failed_attempts(self, call: Any) -> str:
        """List the tries that failed, the latest first."""
        lines = ((f"{localtime(row.at):%d.%m %H:%M:%S}", failure_text(row)) for row in call.latest_failures)
        return format_html_join("", '<div class="kd-line">{} {}</div>', lines) or "—"


class EventsInline(MirrorInline):
    """What Kaspi told us about the delivery."""

    model = WebhookEvent
    fields = ("received_at", "event_id", "type", "state_text", "received_count", "error")

    @admin.display(description=_("state"))
    def state_text(self, event: WebhookEvent) -> str:
        """Show what became of it."""
        return showing.event_badge(event)


class AttemptsInline(MirrorInline):
    """The tries of a call that failed."""

    personal = ("error_message",)
    model = FailedAttempt
    fields = ("at", "http_status", "error", "error_message")
    ordering = ("-pk",)
    show_change_link = False


def waiting_text(call: ApiCall) -> str:
    """Say when a call goes next, or why it waits for a person."""
    if call.reason:
        return showing.attention_label(call.reason)
    if call.next_attempt_at is None:
        return ""
    when = localtime(call.next_attempt_at)
    if call.state == ApiCall.State.SENDING:
        return gettext("its answer, until %(time)s") % {"time": f"{when:%H:%M:%S}"}
    return gettext("its next try, %(time)s") % {"time": f"{when:%d.%m %H:%M:%S}"}


def failure_text(attempt: FailedAttempt) -> str:
    """Say how a try failed: the answer's status, or that there was none."""
    return f"{attempt.http_status or gettext('no answer')}: {attempt.error}"
