"""The test shop's own pages, with the table and the filter that the package has for them."""

from django.contrib import admin

from kaspi_delivery_django.admin import DeliveryAttentionMixin, DeliveryInline
from tests.shop.models import GiftOrder, Note, Order, ProxyOrder


@admin.register(Order, ProxyOrder, GiftOrder, Note)
class OrderAdmin(DeliveryAttentionMixin, admin.ModelAdmin):
    """A page that anybody could have written."""

    inlines = [DeliveryInline]
