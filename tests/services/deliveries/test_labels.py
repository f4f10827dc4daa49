"""The shop's own name for an order: kept with its delivery, and followed until it is booked."""

import pytest

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.models.deliveries import ORDER_LABEL_LENGTH
from tests.shop import adapters
from tests.shop.models import Order

pytestmark = pytest.mark.django_db


@pytest.fixture
def named(monkeypatch):
    """Let `str(order)` be this, or what a function makes of the order."""

    def name(text):
        monkeypatch.setattr(Order, "__str__", text if callable(text) else lambda _order: text)

    return name


def label():
    """Return the label of the only delivery."""
    return Delivery.objects.get().order_label


def test_the_name_is_kept_with_its_search_keys(named):
    """And with that of the id at Kaspi."""
    named("Заказ №2026-00006")
    order = Order.objects.create()
    delivery = Delivery.objects.get()
    assert (delivery.order_label, delivery.label_key) == ("Заказ №2026-00006", "2026 00006")
    assert delivery.external_key == str(order.pk)


def test_a_name_is_one_bounded_line(named):
    """Without control characters of a terminal or of the text's direction."""
    named("A\x00\r\n1\u202e2 " + "x" * 500)
    Order.objects.create()
    assert (label().isprintable(), len(label())) == (True, ORDER_LABEL_LENGTH)


@pytest.mark.parametrize("fault", [RuntimeError, RecursionError, None])
def test_an_order_whose_name_cannot_be_read_is_booked(named, monkeypatch, fault):
    """It has none then; an adapter may also return None, because the number comes in a later save."""

    def broken(_order):
        raise fault

    named(broken)
    if fault is None:
        monkeypatch.setattr(adapters.OrderAdapter, "order_label", lambda _self, _order: None)
    Order.objects.create()
    delivery = Delivery.objects.get()
    assert (delivery.order_label, delivery.attention) == ("", "")
    assert delivery.calls.get().state == "due"


def test_an_unbooked_delivery_follows_its_orders_name(named):
    """As it follows the id; a booked one keeps its label, and so does one whose name cannot be read now."""
    named("Order 1")
    order = Order.objects.create()
    named("Order 2")
    order.save()
    assert (label(), Delivery.objects.get().label_key) == ("Order 2", "2")
    named(lambda _order: 1 / 0)
    order.save()
    Delivery.objects.update(delivery_id="dlv_1")
    named("Order 3")
    order.save()
    assert label() == "Order 2"


def test_a_name_is_read_again_when_it_is_sent(named, due, drain):
    """It may have changed without a save."""
    named("Order 9")
    drain()
    assert label() == "Order 9"


def test_the_delivery_of_a_failing_adapter_has_a_name(named, use_adapter):
    """Staff search for it."""
    named("Order 5")
    use_adapter("BrokenAdapter")
    Order.objects.create()
    assert (Delivery.objects.get().attention, label()) == ("adapter_failed", "Order 5")


@pytest.mark.parametrize(
    ("text", "is_personal"),
    [
        ("Order object (742)", False),
        ("#2026-00006", False),
        ("KZ742", False),
        ("Order 742, Aigerim", True),
        ("aigerim1@mail.kz", True),
        ("Order +7 701 555 00 33", True),
        ("Abay 1", True),
    ],
)
def test_a_default_name_is_personal_unless_it_is_a_plain_number(named, monkeypatch, text, is_personal):
    """It may be the customer's; of a label of the adapter the shop promises that it is not."""
    named(text)
    Order.objects.create()
    assert Delivery.objects.get().label_is_personal is is_personal
    monkeypatch.setattr(adapters.OrderAdapter, "order_label", lambda _self, _order: text, raising=False)
    Order.objects.create()
    assert not Delivery.objects.latest("pk").label_is_personal
