"""The shelf and the checkout form."""

from unittest.mock import Mock

import pytest

from example_project.shop import phones
from example_project.shop.models import Order, OrderLine
from kaspi_delivery_django.models import Delivery

pytestmark = pytest.mark.django_db

DETAILS = {
    "customer_name": "Aigerim Serikova",
    "phone": "8 (701) 234-56-78",
    "address": "Abay Avenue 52, flat 17",
    "courier_notes": "",
    "quantity": "3",
}


def test_the_shelf_shows_every_product_with_its_price(client, apples):
    """A product is listed with a link to its checkout."""
    page = client.get("/example/").content.decode()
    assert apples.get_absolute_url() in page
    assert "4\N{NO-BREAK SPACE}900\N{NO-BREAK SPACE}₸" in page


def test_checkout_makes_a_paid_order_with_its_line(client, apples):
    """One order, one line at the price of the day, and one delivery are saved; the order's page comes next."""
    answer = client.post(apples.get_absolute_url(), DETAILS)
    order = Order.objects.get()
    line = order.lines.get()
    assert (answer.status_code, answer["Location"]) == (302, order.get_absolute_url())
    assert (order.paid, order.phone) == (True, "+7 701 234 5678")
    assert (line.product, line.quantity, line.price_kzt) == (apples, 3, 4900)
    assert Delivery.objects.get().order == order


def test_an_order_whose_line_fails_is_not_saved(client, apples, monkeypatch):
    """Order, line and delivery are saved together or not at all."""
    monkeypatch.setattr(OrderLine.objects, "create", Mock(side_effect=RuntimeError))
    with pytest.raises(RuntimeError):
        client.post(apples.get_absolute_url(), DETAILS)
    assert not Order.objects.exists()
    assert not Delivery.objects.exists()


def test_a_phone_number_is_kept_in_one_form():
    """However people write a Kazakhstan number."""
    typed = ["+7 701 234 5678", "8 (701) 234-56-78", "87012345678", "77012345678", "701 234 5678"]
    assert {phones.normalise(number) for number in typed} == {"+7 701 234 5678"}


@pytest.mark.parametrize(
    "typed", ["12345", "+1 202 555 0100", "+7 901 234 5678", "+7 701 234 56789", "7012345678 x", ""]
)
def test_another_phone_number_is_refused_in_clear_words(client, apples, typed):
    """The form comes back with the reason at the field, and nothing is ordered."""
    answer = client.post(apples.get_absolute_url(), {**DETAILS, "phone": typed})
    [error] = answer.context["form"].errors["phone"]
    assert (error == phones.HINT) is bool(typed)
    assert b'aria-invalid="true"' in answer.content
    assert not Order.objects.exists()


def test_a_quantity_is_one_to_twenty(client, apples):
    """The form refuses others."""
    for quantity in ("0", "21", "", "many"):
        answer = client.post(apples.get_absolute_url(), {**DETAILS, "quantity": quantity})
        assert "quantity" in answer.context["form"].errors
