"""Test what the courier's status does in the shop, with pytest."""

import pytest

from example_project.shop.models import Order, OrderLine, Product
from kaspi_delivery_django.testing import KaspiSandbox

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(kaspi: KaspiSandbox) -> Order:
    """Return a paid order of one jar of honey, saved inside the sandbox."""
    honey = Product.objects.create(name="Honey", price_kzt=6500, weight_grams=1300)
    order = Order.objects.create(
        customer_name="Aigerim Serikova", phone="+7 701 234 5678", address="Abay Avenue 52", paid=True
    )
    OrderLine.objects.create(order=order, product=honey, price_kzt=honey.price_kzt)
    return order


def test_each_status_notifies_the_customer(kaspi: KaspiSandbox, order: Order) -> None:
    """Each of Kaspi's webhooks creates one notice, and no receiver of the shop raises."""
    kaspi.deliver(order)
    assert [notice.text.partition(": ")[2] for notice in order.notices.all()] == [
        "Created",
        "Accepted",
        "In transit",
        "The courier is on the way to you",
        "Delivered",
    ]
    kaspi.assert_up_to_date(order)


def test_a_cancelled_order_cancels_the_courier(kaspi: KaspiSandbox, order: Order) -> None:
    """Saving `cancelled` is enough while the parcel was not picked up."""
    kaspi.deliver(order, until="accepted")
    order.cancelled = True
    order.save()
    kaspi.send_due()
    kaspi.assert_cancelled(order)


def test_a_late_cancel_needs_manual_review(kaspi: KaspiSandbox, order: Order) -> None:
    """The parcel was picked up, and its webhook did not arrive yet."""
    delivery = kaspi.deliver(order, until="accepted")
    kaspi.fakes["default"].move(delivery.delivery_id or "", "in_transit")
    order.cancelled = True
    order.save()
    kaspi.send_due()
    kaspi.assert_needs_attention(order, "cancel_refused")


def test_a_cancel_by_kaspi_notifies_the_customer(kaspi: KaspiSandbox, order: Order) -> None:
    """Kaspi cancels the delivery, and the shop notifies the customer."""
    kaspi.deliver(order, until="created")
    kaspi.move(order, "cancelled", notes="No courier is free.")
    assert order.notices.latest("pk").text == "the customer was told: Cancelled"


def test_a_forged_webhook_changes_nothing(kaspi: KaspiSandbox, order: Order) -> None:
    """A webhook signed with another secret is refused."""
    kaspi.send_due()
    assert kaspi.webhook(order, "delivered", secret="a guess of thirty-two characters").status_code == 401
    kaspi.assert_status(order, "created")


def test_a_refused_address_needs_manual_review(kaspi: KaspiSandbox, order: Order) -> None:
    """The order is on the staff's list."""
    kaspi.fail_next("create", status=422)
    kaspi.send_due()
    kaspi.assert_needs_attention(order, "refused")
