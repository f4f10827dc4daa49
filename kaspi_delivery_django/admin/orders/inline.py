"""The inline table of an order's deliveries, with what can be done about them."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.contenttypes.admin import GenericTabularInline
from django.contrib.contenttypes.forms import BaseGenericInlineFormSet
from django.db.models import Model, Prefetch
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import display
from kaspi_delivery_django.admin.columns import DeliveryColumns
from kaspi_delivery_django.admin.orders.shipped import ShippedRows
from kaspi_delivery_django.admin.outcomes import Action
from kaspi_delivery_django.admin.readonly import SCRIPTS, STYLE, ReadOnlyMixin
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services.deliveries.rules import PERMISSIONS

BOOK_AGAIN = _("Book a courier again")
BUTTONS = ("cancel", "retry", "send", "send_early", "reissue", "return")
BUTTON = '<a class="kd-button{}" href="{}">{}</a>'


class DeliveriesOfOrder(BaseGenericInlineFormSet):  # type: ignore[type-arg]  # no generics at run time
    """Finds the deliveries as the services do: a child or a proxy of the adapter's model counts as the model.

    It only shows: nothing that is posted for it is read, and nothing need be.
    """

    shipped: ShippedRows
    book_url = ""
    object_ids: Sequence[str] = ()

    def __init__(self, data: Any = None, files: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.new_objects, self.changed_objects, self.deleted_objects = [], [], []
        order = self.instance
        if order is None or order.pk is None or self.shipped.shipments is None:
            return
        self.object_ids = self.shipped.object_ids([order]).get(order.pk, [])
        calls = Prefetch("calls", queryset=ApiCall.objects.order_by("pk"), to_attr="known_calls")
        own = self.shipped.deliveries(self.object_ids).with_successors().with_returns()
        self.queryset = own.prefetch_related(calls)  # both are for the rules

    @property
    def is_bookable(self) -> bool:
        """Whether something that is shipped has no delivery yet."""
        return bool(set(self.object_ids) - {delivery.object_id for delivery in self.get_queryset()})

    def is_valid(self) -> bool:
        return True

    def save(self, commit: bool = True) -> list[Model]:  # noqa: FBT001, FBT002  # Django's signature
        return []


class DeliveryInline(DeliveryColumns, ReadOnlyMixin, GenericTabularInline):
    """An order's deliveries, the newest first, with what can be done about them: `inlines = [DeliveryInline]`.

    On the page of a model without an adapter it shows the deliveries of the parcels that belong to it, as an order's
    shipments; `kaspi_shipments` is the lookup that leads to them, where more than one relation does.
    """

    model = Delivery
    template = "admin/kaspi_delivery/deliveries_of_order.html"
    formset = DeliveriesOfOrder  # type: ignore[assignment]  # the stubs know no generic inlines here
    ct_field, ct_fk_field = "content_type", "object_id"
    extra = 0
    can_delete = False
    verbose_name_plural = _("Kaspi deliveries")
    fields = ("status_text", "in_status_for", "promise", "attention_text", "tracking_page", "timeline", "buttons")
    kaspi_shipments = ""
    request: HttpRequest | None = None

    class Media:
        css = STYLE
        js = SCRIPTS

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Show nothing where an order is only being made."""
        return obj is not None and super().has_view_permission(request, obj)

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Tell the table what is shipped, and where a courier is booked."""
        self.request = request  # Django makes an inline for each request
        formset: Any = super().get_formset(request, obj, **kwargs)
        formset.shipped = ShippedRows(self.parent_model, self.kaspi_shipments)
        if obj is not None and request.user.has_perm(f"kaspi_delivery.{PERMISSIONS['book']}"):
            formset.book_url = display.address(self.admin_site, book_page(self.parent_model), quote(obj.pk))
        return formset

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj)

    @admin.display(description=_("timeline"))
    def timeline(self, delivery: Delivery) -> str:
        return display.page_link(self.admin_site, delivery, text=gettext("Timeline"))

    @admin.display(description=_("actions"))
    def buttons(self, delivery: Delivery) -> str:
        """Link the pages that ask, for what the delivery allows now and the user may do."""
        if self.request is None or not self.admin_site.is_registered(Delivery):
            return ""
        page: Any = self.admin_site.get_model_admin(Delivery)
        found = {name: action for name, action in page.row_actions(delivery) if name in BUTTONS}
        if not delivery.attention:
            found.pop("retry", None)  # what is under way by itself
        may = self.request.user.has_perm
        allowed = (one for one in found.items() if may(f"kaspi_delivery.{one[1].permission}"))
        back = urlencode({display.BACK: self.request.get_full_path()})
        return format_html_join(" ", BUTTON, (self._button(delivery, *one, back) for one in allowed))

    def _button(self, delivery: Delivery, name: str, action: Action, back: str) -> tuple[str, str, str]:
        """Return a button's tone, its link, which leads back to this page, and its label."""
        url = display.address(self.admin_site, "kaspi_delivery_delivery_exit", delivery.pk, name)
        label = BOOK_AGAIN if name == "reissue" else action.label
        return " kd-danger" if action.is_dangerous else "", f"{url}?{back}", str(label)


def book_page(model: type[Model]) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}_kaspi_book"
