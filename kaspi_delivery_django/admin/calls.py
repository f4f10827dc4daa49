"""The pages of the outbox: calls, failed attempts, pending bulk actions, and the accounts that they are sent for."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, filters
from kaspi_delivery_django.admin.actions import DISMISS, HOLD, RELEASE
from kaspi_delivery_django.admin.columns import AttemptsInline, CallColumns, OrderColumn
from kaspi_delivery_django.admin.confirmation import ConfirmedActionsAdmin
from kaspi_delivery_django.admin.display import masked
from kaspi_delivery_django.admin.outcomes import Action
from kaspi_delivery_django.admin.readonly import ReadOnlyAdmin
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, FailedAttempt, PendingAction, WebhookEvent
from kaspi_delivery_django.services import bulk_actions, clock, errors
from kaspi_delivery_django.services.outbox import circuit_breaker
from kaspi_delivery_django.stats import recent

ANSWER = ("state_text", "answer", "http_status", "error_message", "request_id", "waits", "delivery", "kind", "attempts")


class CallStateFilter(filters.GroupedStateFilter):
    """The state of a call; all that are pending together."""

    together = ("waiting", _("Pending: due, unknown, or needs attention"), ApiCall.UNFINISHED)


class EndedFilter(filters.LinkedFilter):
    """The calls of one kind that ended so in the last 24 hours: "create:done"."""

    title = _("ended")
    parameter_name = "ended"

    def label(self, _request: HttpRequest, value: str) -> str:
        kind, _colon, state = value.partition(":")
        if kind not in ApiCall.Kind.values or state not in recent.ENDED:
            return ""
        return f"{ApiCall.Kind(kind).label}: {ApiCall.State(state).label}, {gettext('The last 24 hours')}"

    def condition(self, value: str) -> Q:
        kind, _colon, state = value.partition(":")
        return Q(recent.ended(clock.now()), kind=kind, state=state)


class AnswerFilter(filters.LinkedFilter):
    """The attempts of one kind that failed so in the last 24 hours: "create:503"; "create:" for no answer."""

    title = _("answer")
    parameter_name = "answer"

    def label(self, _request: HttpRequest, value: str) -> str:
        kind, _colon, status = value.partition(":")
        if kind not in ApiCall.Kind.values or not re.fullmatch("([0-9]{3})?", status):
            return ""
        answer = status or gettext("no answer")
        return f"{ApiCall.Kind(kind).label}: {answer}, {gettext('The last 24 hours')}"

    def condition(self, value: str) -> Q:
        kind, _colon, status = value.partition(":")
        return Q(recent.failed(clock.now()), kind=kind, http_status=int(status) if status else None)


class ActionStateFilter(filters.StateFilter):
    """Pending actions, or refused ones."""

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> filters.Choices:
        return [("waiting", _("Waits for the worker")), ("refused", _("Refused"))]

    def filter_by(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(failed_at__isnull=value == "waiting")


@admin.register(ApiCall)
class ApiCallAdmin(OrderColumn, CallColumns, ReadOnlyAdmin):
    """Calls to Kaspi: sent, or still to be sent."""

    list_display = ("kind", "order_page", "state_text", "waits", "attempts", "http_status", "updated_at")
    list_filter = (CallStateFilter, filters.UpdatedFilter, EndedFilter)
    search_fields = ("idempotency_key",)
    inlines = (AttemptsInline,)
    raw_id_fields = ("delivery",)
    personal = ("payload", "payload_sha256", "error_message")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Put what staff look for first, and fold the record."""
        record = (field.name for field in ApiCall._meta.fields if field.name not in {*ANSWER, "id", "state", "reason"})
        first, folded = (masked(request, ApiCall, names, self.personal) for names in (ANSWER, record))
        return [(None, {"fields": first}), (_("Record"), {"fields": folded, "classes": ("collapse",)})]

    def find(self, request: HttpRequest, term: str) -> Q:
        return Q(idempotency_key=term) | super().find(request, term)


@admin.register(FailedAttempt)
class FailedAttemptAdmin(OrderColumn, ReadOnlyAdmin):
    """Every try that failed: where a spike of 4xx and 5xx is seen."""

    list_display = ("at", "order_page", "kind", "http_status", "error", "request_id", "call_page")
    list_filter = (filters.FailedFilter, AnswerFilter)
    list_prefetch_related = ("call__delivery",)
    search_fields = ("call",)
    personal = ("error_message",)

    def find(self, request: HttpRequest, term: str) -> Q:
        calls = ApiCall.objects.filter(delivery__in=filters.delivery_keys(request, term))
        return Q(call__in=list(calls.values_list("pk", flat=True)))

    def delivery_of(self, row: FailedAttempt) -> Delivery:
        return row.call.delivery

    @admin.display(description=_("call"))
    def call_page(self, attempt: FailedAttempt) -> str:
        return display.page_link(self.admin_site, attempt.call)


@admin.register(PendingAction)
class PendingActionAdmin(OrderColumn, ConfirmedActionsAdmin):
    """Bulk actions that are pending, or were refused."""

    list_filter = (ActionStateFilter,)
    list_display = ("name", "order_page", "failure", "asked_by", "created_at", "failed_at")
    list_prefetch_related = ("delivery", "event__delivery")
    personal = ("reason",)
    actions = ("dismiss_actions",)

    def has_dismiss_permission(self, request: HttpRequest) -> bool:
        return bool(bulk_actions.names_allowed_for(request.user))

    def find(self, request: HttpRequest, term: str) -> Q:
        keys = filters.delivery_keys(request, term)
        events = WebhookEvent.objects.filter(delivery__in=keys, pk__in=PendingAction.objects.values("event"))
        return Q(delivery__in=keys) | Q(event__in=list(events.values_list("pk", flat=True)))

    def delivery_of(self, row: PendingAction) -> Delivery | None:
        return row.delivery or (row.event.delivery if row.event else None)

    def order_cell(self, row: PendingAction, *, shows_personal: bool) -> str:
        order = super().order_cell(row, shows_personal=shows_personal)
        return format_html('{}<div class="kd-line">{}</div>', order, display.page_link(self.admin_site, row.event))

    @admin.action(description=_("Take selected actions off the list"), permissions=["dismiss"])
    def dismiss_actions(self, request: HttpRequest, queryset: QuerySet[PendingAction]) -> HttpResponse | None:
        """Dismiss several, each only by a user who could have requested it."""
        own = queryset.filter(name__in=bulk_actions.names_allowed_for(request.user))
        if queryset.exclude(pk__in=own.values("pk")).exists():
            words = gettext("Actions that you have no permission for yourself stay on the list.")
            self.message_user(request, words, messages.WARNING)
        return self.confirm_bulk(request, own, DISMISS) if own.exists() else None

    def facts(self, request: HttpRequest, row: PendingAction) -> Iterable[str]:
        subject = self.delivery_of(row) or row.event
        yield display.row_link(self.admin_site, request, subject) if subject else ""
        yield errors.translated_refusal(row.failure)

    def row_actions(self, row: PendingAction) -> Iterable[tuple[str, Action]]:
        """Offer to dismiss it: dismissing a colleague's cancel takes the permission to cancel, and so on."""
        return [("dismiss", replace(DISMISS, permission=bulk_actions.permission_for(row.name)))]


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
