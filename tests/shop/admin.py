"""The test shop's own pages, with what the package has for them."""

from django.contrib import admin

from kaspi_delivery_django.admin import DeliveryInline, OrderDeliveriesMixin
from tests.shop.models import AppOrder, GiftOrder, Note, Order, ProxyOrder


@admin.register(Order, ProxyOrder, GiftOrder, Note, AppOrder)
class OrderAdmin(OrderDeliveriesMixin, admin.ModelAdmin):
    """A page of a shop."""

    inlines = [DeliveryInline]
