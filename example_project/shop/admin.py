"""The staff's side of the shop."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from example_project.shop.forms import OrderForm
from example_project.shop.models import CustomerNotice, Order, OrderLine, Product
from kaspi_delivery_django.admin import DeliveryInline, OrderDeliveriesMixin


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generics at run time
    """The shelf."""

    list_display = ("name", "price_kzt", "weight_grams")
    search_fields = ("name",)


class OrderLineInline(admin.TabularInline):  # type: ignore[type-arg]  # no generics at run time
    """What is in the parcel."""

    model = OrderLine
    extra = 0
    min_num = 1

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Ask for one line at least: an empty parcel cannot be shipped."""
        return super().get_formset(request, obj, validate_min=True, **kwargs)


class CustomerNoticeInline(admin.TabularInline):  # type: ignore[type-arg]  # no generics at run time
    """The notices that the customer got."""

    model = CustomerNotice
    fields = readonly_fields = ("created_at",)
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Notices are not written by hand."""
        return False


@admin.register(Order)
class OrderAdmin(OrderDeliveriesMixin, admin.ModelAdmin):  # type: ignore[type-arg]  # no generics at run time
    """Saving a paid order here books its courier, once the lines are saved too."""

    form = OrderForm
    list_display = ("__str__", "customer_name", "paid", "cancelled", "created_at")
    list_filter = ("paid", "cancelled")
    search_fields = ("customer_name", "phone")
    inlines = (OrderLineInline, DeliveryInline, CustomerNoticeInline)
