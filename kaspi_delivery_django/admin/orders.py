"""What a shop puts on its own order pages: the order's deliveries, and a filter of its list."""

from typing import Any

from django.contrib import admin
from django.contrib.contenttypes.admin import GenericTabularInline
from django.contrib.contenttypes.forms import BaseGenericInlineFormSet
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display, filters
from kaspi_delivery_django.admin.actions import ACTIONS
from kaspi_delivery_django.admin.columns import DeliveryColumns
from kaspi_delivery_django.admin.readonly import SCRIPTS, STYLE, TABLE, ReadOnlyMixin
from kaspi_delivery_django.exceptions import NoAdapter
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.orders import adapter_for, key_field, key_name
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.services.deliveries import identities, rules
from kaspi_delivery_django.stats.snapshot import MAX_COUNT

MAX_KEY = 2**63 - 1  # more is no integer to SQLite
CANCEL = "kaspi_delivery.cancel_delivery"


class DeliveriesOfOrder(BaseGenericInlineFormSet):  # type: ignore[type-arg]  # no generics at run time
    """Finds the deliveries as the services do: a child or a proxy of the adapter's model counts as the model.

    It only shows: nothing that is posted for it is read, and nothing need be.
    """

    def __init__(self, data: Any = None, files: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.new_objects, self.changed_objects, self.deleted_objects = [], [], []
        order = self.instance
        if order is None or order.pk is None:
            return
        try:
            self.queryset = identities.deliveries_of(identities.adapter_of(order), order)
        except NoAdapter:
            return

    def is_valid(self) -> bool:
        """Never invalid: nothing is edited here."""
        return True

    def save(self, commit: bool = True) -> list[Model]:  # noqa: FBT001, FBT002  # Django's signature
        """Save nothing."""
        return []


class DeliveryInline(DeliveryColumns, ReadOnlyMixin, GenericTabularInline):
    """An order's deliveries, the newest first: `inlines = [DeliveryInline]`."""

    model = Delivery
    template = TABLE
    formset = DeliveriesOfOrder  # type: ignore[assignment]  # the stubs know no generic inlines here
    ct_field, ct_fk_field = "content_type", "object_id"
    extra = 0
    can_delete = False
    verbose_name_plural = _("Kaspi deliveries")
    fields = ("status_text", "in_status_for", "promise", "attention_text", "tracking_page", "timeline")

    class Media:
        css = STYLE
        js = SCRIPTS

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Show nothing where an order is only being made."""
        return obj is not None and super().has_view_permission(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Add the cancel action for users who may cancel."""
        return (*self.fields, "cancel") if request.user.has_perm(CANCEL) else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All of it is computed."""
        return self.get_fields(request, obj)

    @admin.display(description=_("timeline"))
    def timeline(self, delivery: Delivery) -> str:
        """Link the delivery's own page, with its history."""
        return display.page_link(self.admin_site, delivery, text=gettext("Timeline"))

    @admin.display(description=_("cancel"))
    def cancel(self, delivery: Delivery) -> str:
        """Link the page that asks for the reason, while it can be cancelled."""
        if "cancel" not in rules.allowed_actions(delivery, clock.now()):
            return ""
        url = display.address(self.admin_site, "kaspi_delivery_delivery_exit", delivery.pk, "cancel")
        return format_html('<a class="kd-button" href="{}">{}</a>', url, ACTIONS["cancel"].label) if url else ""


class OrderAttentionFilter(admin.SimpleListFilter):
    """The orders whose delivery needs attention."""

    title = _("delivery")
    parameter_name = "kaspi_delivery"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> filters.Choices:
        """Offer the one question."""
        return [("attention", _("Delivery needs attention"))]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those orders. Their keys are read first: ours are text, and no engine joins that by an index."""
        adapter = adapter_for(queryset.model)
        if not self.value() or adapter is None:
            return queryset if not self.value() else queryset.none()
        kind = ContentType.objects.db_manager(db_alias()).get_for_model(adapter.model_class())
        flagged = Delivery.objects.flagged().filter(content_type=kind).order_by("-pk")
        field = key_field(adapter.model_class())
        texts = flagged.values_list("object_id", flat=True)[:MAX_COUNT]
        keys = [text for text in texts if _is_key(field, text)]
        return queryset.filter(**{f"{key_name(adapter.model_class())}__in": keys})  # a child has its parent's key too


class DeliveryAttentionMixin:
    """Adds the filter "delivery needs attention" to an order list: `class OrderAdmin(DeliveryAttentionMixin, …)`."""

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Put the filter first, for users who can view deliveries."""
        own: Any = super()
        mine = (OrderAttentionFilter,) if request.user.has_perm("kaspi_delivery.view_delivery") else ()
        return (*mine, *own.get_list_filter(request))


def _is_key(field: Any, text: str) -> bool:
    try:
        key = field.get_prep_value(text)
    except (TypeError, ValueError, ValidationError):  # the shop's key has become of another type
        return False
    return not isinstance(key, int) or key <= MAX_KEY
