"""Test a cancel against a recorded story, with unittest."""

from pathlib import Path

from django.test import TestCase

from example_project.shop.models import Order, OrderLine, Product
from kaspi_delivery_django.testing import kaspi_sandbox

STORY = Path(__file__).parent / "cassettes" / "cancel.json"
DANA = {"customer_name": "Dana Omarova", "phone": "+7 701 234 5678", "address": "Abay Avenue 52"}


class CancelTests(TestCase):
    """A customer cancels an order that a courier has accepted."""

    def test_the_courier_is_cancelled(self) -> None:
        """The shop sends what it sent when the story was recorded, and follows Kaspi's webhooks."""
        with kaspi_sandbox(replay=STORY) as kaspi:
            honey = Product.objects.create(name="Honey", price_kzt=6500, weight_grams=1300)
            order = Order.objects.create(pk=7, paid=True, **DANA)  # the cassette has order-7
            OrderLine.objects.create(order=order, product=honey, price_kzt=honey.price_kzt)
            kaspi.deliver(order, until="accepted")
            order.cancelled = True
            order.save()
            kaspi.send_due()
            kaspi.send_webhooks()
            kaspi.assert_cancelled(order)
            kaspi.assert_up_to_date(order)
