"""From the checkout to the courier: the shop's tests with unittest."""

from django.test import TestCase

from example_project.shop.models import Order, Product
from kaspi_delivery_django.testing import kaspi_sandbox

CUSTOMER = {"customer_name": "Aigerim Serikova", "phone": "+7 701 234 5678", "address": "Abay Avenue 52"}


class CheckoutTests(TestCase):
    """An order is placed on the shop's page, as a customer does."""

    def setUp(self) -> None:
        """Be Kaspi for this test, and fill the shelf."""
        self.kaspi = self.enterContext(kaspi_sandbox())
        self.honey = Product.objects.create(name="Honey", price_kzt=6500, weight_grams=1300)

    def check_out(self) -> Order:
        """Order two jars of honey."""
        answer = self.client.post(self.honey.get_absolute_url(), {**CUSTOMER, "quantity": 2})
        order = Order.objects.get()
        self.assertRedirects(answer, order.get_absolute_url())
        return order

    def test_a_checkout_books_one_courier(self) -> None:
        """Kaspi is sent what the customer has ordered, once."""
        order = self.check_out()
        order.save()
        self.kaspi.send_due()
        self.kaspi.assert_booked_once(order)
        parcel = self.kaspi.booking_of(order).request["parcel"]
        self.assertEqual((parcel["weightGrams"], parcel["valueKzt"]), (2600, 13000))

    def test_the_customer_follows_the_parcel(self) -> None:
        """What Kaspi's webhook says is on the order's page at once."""
        order = self.check_out()
        self.kaspi.deliver(order, until="out_for_delivery")
        self.assertContains(self.client.get(order.get_absolute_url()), "The courier is on the way to you.")

    def test_a_checkout_does_not_need_kaspi(self) -> None:
        """Kaspi is down: the customer has an order all the same, and the courier is booked when Kaspi is back."""
        self.kaspi.fail_next("create", status=503, times=3)
        order = self.check_out()
        self.kaspi.send_due()
        self.kaspi.assert_not_booked(order)
        for _ in range(3):
            self.kaspi.later(minutes=1)
            self.kaspi.send_due()
        self.kaspi.assert_booked_once(order)

    def test_an_answer_that_is_lost_sends_no_second_courier(self) -> None:
        """Kaspi has booked the parcel, and its answer never came."""
        self.kaspi.time_out_next("create")
        order = self.check_out()
        self.kaspi.send_due()
        self.kaspi.later(minutes=1)
        self.kaspi.send_due()
        self.kaspi.assert_booked_once(order)
