"""From the basket to the door, through oscar's own pages and Kaspi's sandbox."""

from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from oscar.core.loading import get_class, get_model
from oscar.test.factories import create_product

from kaspi_delivery_django.models import Delivery

pytestmark = pytest.mark.django_db(transaction=True)

OrderCreator = get_class("order.utils", "OrderCreator")
Country, Order = get_model("address", "Country"), get_model("order", "Order")

ADDRESS = {
    "first_name": "Aigerim",
    "last_name": "Sadykova",
    "line1": "Abay Avenue 10, flat 5",
    "line4": "Almaty",
    "phone_number": "8 701 222 0000",
    "notes": "The bell is broken.",
}


@pytest.fixture
def book():
    """Put a book of 1.2 kg on the shelf."""
    Country.objects.create(iso_3166_1_a2="KZ", printable_name="Kazakhstan", is_shipping_country=True)
    return create_product(title="Abai's Way", price=Decimal("9990.50"), num_in_stock=5, attributes={"weight": "1.2"})


@pytest.fixture
def choose(client, book):
    """Go as a guest, page by page, to the last one before the order is placed; return that page."""

    def go(method="kaspi-delivery", **address):
        client.post(reverse("basket:add", args=[book.pk]), {"quantity": 2})
        client.post(reverse("checkout:index"), {"username": "aigerim@example.com", "options": "anonymous"})
        client.post(reverse("checkout:shipping-address"), {**ADDRESS, **address})
        client.post(reverse("checkout:shipping-method"), {"method_code": method})
        return client.post(reverse("checkout:preview"), follow=True)

    return go


@pytest.fixture
def buy(client, choose):
    """Place the order, and return it."""

    def go(method="kaspi-delivery"):
        choose(method)
        placed = client.post(reverse("checkout:preview"), {"action": "place_order"}, follow=True)
        assert placed.redirect_chain == [(reverse("checkout:thank-you"), 302)]
        return placed.context["order"]

    return go


@pytest.fixture
def staff():
    """Log in a member of oscar's staff; return their browser."""
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("staff", "staff@example.com", "staff"))
    return client


@pytest.fixture
def set_status(staff):
    """Change an order's status on the dashboard's page."""

    def change(order, status):
        page = reverse("dashboard:order-detail", kwargs={"number": order.number})
        staff.post(page, {"order_action": "change_order_status", "new_status": status})
        order.refresh_from_db()
        assert order.status == status

    return change


def test_a_paid_order_is_booked_and_followed_to_the_door(kaspi, buy, staff, set_status, until):
    """It is booked when it is paid, with what oscar knows, and moves through oscar's own pipeline."""
    order = buy()
    assert (order.status, Delivery.objects.count()) == ("Pending", 0)
    set_status(order, "Paid")
    [booked] = kaspi.deliveries_for(f"order-{order.number}")
    assert booked.request["dropoff"] == {
        "address": "Almaty, Abay Avenue 10, flat 5",
        "contact": {"name": "Aigerim Sadykova", "phone": "+7 701 222 0000"},
        "notes": "The bell is broken.",
    }
    assert booked.request["parcel"] == {"description": "Abai's Way", "weightGrams": 2400, "valueKzt": 19981}
    assert until("delivered")
    steps = order.status_changes.order_by("pk").values_list("new_status", flat=True)
    assert list(steps) == ["Paid", "On the way", "Delivered"]
    page = staff.get(reverse("admin:order_order_change", args=[order.pk]))
    assert Delivery.objects.get().tracking_url in page.content.decode()


@pytest.mark.parametrize("pace_s", [3600])
def test_an_order_that_staff_cancel_is_cancelled_with_kaspi(kaspi, buy, set_status, until):
    """In the dashboard, before the courier came."""
    order = buy()
    set_status(order, "Paid")
    set_status(order, "Cancelled")
    assert until("cancelled")
    [remote] = kaspi.deliveries.values()
    assert (Delivery.objects.get().status, remote.status) == ("cancelled", "cancelled")


@pytest.mark.parametrize(("method", "status"), [("kaspi-delivery", "Cancelled"), ("self-pickup", "Paid")])
def test_what_no_courier_brings_is_not_booked(kaspi, buy, set_status, method, status):
    """An order that was never paid, and one that the customer fetches."""
    set_status(buy(method), status)
    assert not Delivery.objects.exists()
    assert not kaspi.requests


def test_a_courier_needs_a_phone_and_an_address_in_kazakhstan(choose):
    """Oscar asks for the phone; abroad the other method is offered alone."""
    Country.objects.create(iso_3166_1_a2="KG", printable_name="Kyrgyzstan", is_shipping_country=True)
    assert choose(phone_number="").redirect_chain[-1] == (reverse("checkout:shipping-address"), 302)
    assert choose(country="KZ").context["shipping_method"].code == "kaspi-delivery"
    assert choose(country="KG").context["shipping_method"].code == "self-pickup"


def test_a_checkout_that_fails_books_nothing(kaspi, client, choose, monkeypatch, settings):
    """After the order was written, and before it was committed: no order, no parcel."""

    def fail(*args, **kwargs):
        raise ValueError("no stock is left")

    settings.OSCAR_INITIAL_ORDER_STATUS = "Paid"
    monkeypatch.setattr(OrderCreator, "update_stock_records", fail)
    choose()
    client.post(reverse("checkout:preview"), {"action": "place_order"})
    assert not Order.objects.exists()
    assert not Delivery.objects.exists()
    assert not kaspi.requests


def test_an_order_that_is_paid_at_once_is_booked_with_its_lines(kaspi, buy, settings):
    """A card at the checkout: oscar saves the order before its lines, and commits both together."""
    settings.OSCAR_INITIAL_ORDER_STATUS = "Paid"
    order = buy()
    [booked] = kaspi.deliveries_for(f"order-{order.number}")
    assert booked.request["parcel"]["description"] == "Abai's Way"
