"""Test the shop from the checkout to the courier, with unittest."""

from django.test import TestCase

from example_project.shop.models import Order, Product
from kaspi_delivery_django.testing import kaspi_sandbox

CUSTOMER = {"customer_name": "Aigerim Serikova", "phone": "+7 701 234 5678", "address": "Abay Avenue 52"}


class CheckoutTests(TestCase):
    """Place orders on the shop's page, as a customer does."""

    def setUp(self) -> None:
        """Start a fake Kaspi and create a product."""
        self.kaspi = self.enterContext(kaspi_sandbox())
        self.honey = Product.objects.create(name="Honey", price_kzt=6500, weight_grams=1300)

    def check_out(self) -> Order:
        """Order two jars of honey."""
        response = self.client.post(self.honey.get_absolute_url(), {**CUSTOMER, "quantity": 2})
        order = Order.objects.get()
        self.assertRedirects(response, order.get_absolute_url())
        return order

    def test_a_checkout_books_one_courier(self) -> None:
        """Kaspi receives the customer's order once."""
        order = self.check_out()
        order.save()
        self.kaspi.send_due()
        self.kaspi.assert_booked_once(order)
        parcel = self.kaspi.booking_of(order).request["parcel"]
        self.assertEqual((parcel["weightGrams"], parcel["valueKzt"]), (2600, 13000))

    def test_the_customer_follows_the_parcel(self) -> None:
        """The order's page shows the status of Kaspi's webhook at once."""
        order = self.check_out()
        self.kaspi.deliver(order, until="out_for_delivery")
        self.assertContains(self.client.get(order.get_absolute_url()), "The courier is on the way to you")

    def test_a_checkout_does_not_need_kaspi(self) -> None:
        """While Kaspi is down, customers can order; the courier is booked later."""
        self.kaspi.fail_next("create", status=503, times=3)
        order = self.check_out()
        self.kaspi.send_due()
        self.kaspi.assert_not_booked(order)
        for _ in range(3):
            self.kaspi.later(minutes=1)
            self.kaspi.send_due()
        self.kaspi.assert_booked_once(order)

    def test_a_lost_response_books_no_second_courier(self) -> None:
        """Kaspi booked the parcel, but its response was lost."""
        self.kaspi.time_out_next("create")
        order = self.check_out()
        self.kaspi.send_due()
        self.kaspi.later(minutes=1)
        self.kaspi.send_due()
        self.kaspi.assert_booked_once(order)
