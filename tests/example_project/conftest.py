"""A shop with something on the shelf, whose orders go through its own adapter; and its programs."""

import subprocess
import sys

import pytest

from example_project.shop.models import Order, OrderLine, Product


def run(*arguments, **place):
    """Run Python to its end; return what it printed."""
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, **place)
    printed = ended.stdout + ended.stderr
    assert ended.returncode == 0, printed
    return printed


@pytest.fixture(autouse=True)
def _adapter(configure):
    """Ship the example shop's orders with the adapter it comes with."""
    configure(ORDER_ADAPTERS=["example_project.shop.kaspi.ShopOrderAdapter"])


@pytest.fixture
def apples(db):
    """A product."""
    return Product.objects.create(name="Aport apples", price_kzt=4900, weight_grams=3000)


@pytest.fixture
def make_order(apples):
    """Save an order of two crates of apples, paid by default."""

    def make(**changes):
        fields = {
            "customer_name": "Aigerim Serikova",
            "phone": "+7 701 234 5678",
            "address": "Abay Avenue 52",
            "paid": True,
        }
        order = Order.objects.create(**{**fields, **changes})
        OrderLine.objects.create(order=order, product=apples, quantity=2, price_kzt=4900)
        return order

    return make
