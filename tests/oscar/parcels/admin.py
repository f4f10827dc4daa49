"""Oscar's order page in the admin, with the order's deliveries."""

from django.contrib import admin
from oscar.apps.order.admin import OrderAdmin
from oscar.core.loading import get_model

from kaspi_delivery_django.admin import DeliveryInline, OrderDeliveriesMixin

Order = get_model("order", "Order")

admin.site.unregister(Order)


@admin.register(Order)
class OrderWithDeliveriesAdmin(OrderDeliveriesMixin, OrderAdmin):
    """Shows where the parcel is, and the orders that need a person."""

    inlines = [*OrderAdmin.inlines, DeliveryInline]
