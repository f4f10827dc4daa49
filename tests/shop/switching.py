"""The adapter of a shop that has sold for years, as docs/switching-over.md shows it."""

from datetime import UTC, datetime

from kaspi_delivery_django.client import DeliveryRequest
from kaspi_delivery_django.orders import OrderAdapter
from tests.shop import adapters
from tests.shop.models import Order, Shipment

KASPI_START = datetime(2026, 3, 1, tzinfo=UTC)


class ShopOrderAdapter(adapters.OrderAdapter):
    """Ships what was ordered since the switch."""

    def wants_delivery(self, order):
        return order.paid and order.created_at >= KASPI_START

    def orders_to_enqueue(self):
        return Order.objects.filter(paid=True, created_at__gte=KASPI_START)


class ShipmentAdapter(OrderAdapter[Shipment]):
    """Ships the parcels of an order, each for itself; their keys are UUIDs."""

    model = "shop.Shipment"

    def wants_delivery(self, shipment):
        return shipment.order.paid and shipment.order.created_at >= KASPI_START

    def external_order_id(self, shipment):
        return f"shipment-{shipment.pk}"

    def orders_to_enqueue(self):
        return Shipment.objects.filter(order__paid=True, order__created_at__gte=KASPI_START)

    def build_request(self, shipment) -> DeliveryRequest:
        return adapters.OrderAdapter().build_request(shipment.order)
