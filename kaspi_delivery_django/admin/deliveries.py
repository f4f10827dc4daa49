"""The page of deliveries, with their history and calls, and the action that cancels."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin.mirrors import MirrorAdmin, MirrorInline, visible
from kaspi_delivery_django.exceptions import CannotCancel
from kaspi_delivery_django.lifecycle import CANCELLED
from kaspi_delivery_django.links import allowed_tracking_url
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange
from kaspi_delivery_django.services import cancel_delivery


def _place(side: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in ("address", "name", "phone", "notes"))


_PICKUP, _DROPOFF = _place("pickup"), _place("dropoff")
_GROUPS = {
    "": ("order", "status", "status_at", "attention_text", "delivery_id", "tracking_link"),
    _("Promise"): ("pickup_by", "delivery_by", "next_refresh_at"),
    _("Cancellation"): ("cancel_requested_at", "cancel_reason"),
    _("Pickup"): _PICKUP,
    _("Dropoff"): _DROPOFF,
    _("Parcel"): ("parcel_description", "parcel_weight_grams", "parcel_value_kzt"),
    _("Record"): ("account", "environment", "generation", "created_at", "updated_at", "raw"),
}


class CancelForm(forms.Form):
    """The reason that Kaspi and the history are told."""

    reason = forms.CharField(label=_("Reason"), max_length=200, widget=forms.TextInput(attrs={"autofocus": True}))


class HistoryInline(MirrorInline):
    """The delivery's history. Notes may carry what a courier or a clerk wrote."""

    personal = ("note",)
    model = StatusChange
    fields = ("at", "from_status", "to_status", "source", "note", "applied", "notified_at")


class CallsInline(MirrorInline):
    """The delivery's calls to Kaspi."""

    personal = ("error_message",)
    model = ApiCall
    fields = ("kind", "idempotency_key", "state", "attempts", "next_attempt_at", "http_status", "error_message")


@admin.register(Delivery)
class DeliveryAdmin(MirrorAdmin):
    """What was booked, how it stands, and what needs a person."""

    list_display = ("__str__", "status", "status_at", "attention_text", "delivery_id", "created_at")
    list_filter = ("status", "attention", "account", "environment")
    search_fields = ("external_order_id", "delivery_id", "object_id")
    ordering = ("-pk",)
    inlines = (HistoryInline, CallsInline)
    actions = ("cancel_deliveries",)
    personal = (*_PICKUP, *_DROPOFF, "cancel_reason", "raw")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Tell whether this person may cancel deliveries."""
        return request.user.has_perm("kaspi_delivery.cancel_delivery")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Group the columns; a group that has nothing to show for this person is left out."""
        shown = {title: visible(request, names, self.personal) for title, names in _GROUPS.items()}
        return [(title or None, {"fields": names}) for title, names in shown.items() if names]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Name what is computed."""
        return ("order", "attention_text", "tracking_link")

    @admin.display(description=_("attention"), ordering="attention")
    def attention_text(self, delivery: Delivery) -> str:
        """Say in words why a person is needed."""
        labels = dict(Attention.choices)
        return str(labels.get(delivery.attention, delivery.attention))

    @admin.display(description=_("tracking address"))
    def tracking_link(self, delivery: Delivery) -> str:
        """Link the tracking page, if it is where Kaspi's pages are; show it as text otherwise."""
        url = allowed_tracking_url(delivery)
        if not url:
            return delivery.tracking_url
        return format_html('<a href="{}" rel="noopener noreferrer" target="_blank">{}</a>', url, url)

    @admin.action(description=_("Cancel selected deliveries"), permissions=["cancel"])
    def cancel_deliveries(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        """Ask for the reason first; then cancel, and report row by row."""
        form = CancelForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            return self._confirm_cancel(request, queryset, form)
        for delivery in queryset:
            self._cancel(request, delivery, form.cleaned_data["reason"])
        return None

    def _confirm_cancel(self, request: HttpRequest, queryset: QuerySet[Delivery], form: CancelForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Cancel deliveries"),
            "deliveries": queryset,
            "form": form,
            "opts": self.opts,
            "media": self.media,
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/kaspi_delivery/cancel_deliveries.html", context)

    def _cancel(self, request: HttpRequest, delivery: Delivery, reason: str) -> None:
        self.log_change(request, delivery, gettext("Cancellation asked for: %(reason)s") % {"reason": reason})
        try:
            cancel_delivery(delivery, reason=reason)
        except CannotCancel as err:
            self.message_user(request, f"{delivery}: {err}", messages.ERROR)
            return
        delivery.refresh_from_db()
        level, text = _result_of(delivery)
        self.message_user(request, f"{delivery}: {text}", level)


def _result_of(delivery: Delivery) -> tuple[int, str]:
    if delivery.status == CANCELLED:
        return messages.SUCCESS, gettext("cancelled.")
    if delivery.attention == Attention.CANCEL_REFUSED:
        return messages.ERROR, gettext("Kaspi refused: it is already in transit, or has ended.")
    if delivery.delivery_id:
        return messages.INFO, gettext("Kaspi is asked to cancel; the status follows.")
    if delivery.calls.filter(state=ApiCall.State.ABANDONED).exists():
        return messages.SUCCESS, gettext("it was never sent to Kaspi, and will not be.")
    return messages.WARNING, gettext("it will be cancelled as soon as its booking is resolved.")
