"""What the courier's news does in the shop: its tests with pytest."""

import pytest

from example_project.shop.models import Order, OrderLine, Product
from kaspi_delivery_django.testing import KaspiSandbox

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(kaspi: KaspiSandbox) -> Order:
    """A paid order of one jar of honey, saved while `kaspi` is there."""
    honey = Product.objects.create(name="Honey", price_kzt=6500, weight_grams=1300)
    order = Order.objects.create(
        customer_name="Aigerim Serikova", phone="+7 701 234 5678", address="Abay Avenue 52", paid=True
    )
    OrderLine.objects.create(order=order, product=honey, price_kzt=honey.price_kzt)
    return order


def test_the_customer_is_told_of_every_step(kaspi: KaspiSandbox, order: Order) -> None:
    """Each of Kaspi's webhooks leaves one notice, and no receiver of the shop's has raised."""
    kaspi.deliver(order)
    assert [notice.text.partition(": ")[2] for notice in order.notices.all()] == [
        "Created",
        "Accepted",
        "In transit",
        "Out for delivery",
        "Delivered",
    ]
    kaspi.assert_up_to_date(order)


def test_a_cancelled_order_calls_the_courier_off(kaspi: KaspiSandbox, order: Order) -> None:
    """Ticking `cancelled` is enough, as long as the parcel was not picked up."""
    kaspi.deliver(order, until="accepted")
    order.cancelled = True
    order.save()
    kaspi.send_due()
    kaspi.assert_cancelled(order)


def test_a_cancel_that_comes_too_late_asks_for_a_person(kaspi: KaspiSandbox, order: Order) -> None:
    """The parcel was picked up a moment before, and the webhook about it is still on its way."""
    delivery = kaspi.deliver(order, until="accepted")
    kaspi.fakes["default"].move(delivery.delivery_id or "", "in_transit")
    order.cancelled = True
    order.save()
    kaspi.send_due()
    kaspi.assert_needs_attention(order, "cancel_refused")


def test_a_parcel_that_kaspi_calls_off(kaspi: KaspiSandbox, order: Order) -> None:
    """The shop hears of it, and tells the customer."""
    kaspi.deliver(order, until="created")
    kaspi.move(order, "cancelled", notes="No courier is free.")
    assert order.notices.latest("pk").text == "the customer was told: Cancelled"


def test_a_forged_webhook_tells_nobody_anything(kaspi: KaspiSandbox, order: Order) -> None:
    """Whoever has no secret cannot say that a parcel has arrived."""
    kaspi.send_due()
    assert kaspi.webhook(order, "delivered", secret="a guess of thirty-two characters").status_code == 401
    kaspi.assert_status(order, "created")


def test_an_address_that_kaspi_refuses_asks_for_a_person(kaspi: KaspiSandbox, order: Order) -> None:
    """Nobody has to read a log to find the order."""
    kaspi.fail_next("create", status=422)
    kaspi.send_due()
    kaspi.assert_needs_attention(order, "refused")
