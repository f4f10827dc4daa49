"""The adapter of a shop that has sold for years, as docs/switching-over.md shows it."""

from datetime import UTC, datetime

from tests.shop import kaspi
from tests.shop.models import Order

KASPI_START = datetime(2026, 3, 1, tzinfo=UTC)


class ShopOrderAdapter(kaspi.OrderAdapter):
    """Ships what was ordered since the switch."""

    def wants_delivery(self, order):
        return order.paid and order.created_at >= KASPI_START

    def orders_to_enqueue(self):
        return Order.objects.filter(paid=True, created_at__gte=KASPI_START)
