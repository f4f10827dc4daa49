"""The shop of the pages: its modules, a booked order, and a fake Kaspi."""

import sys
from dataclasses import replace
from importlib import import_module
from types import ModuleType

import pytest
from django.contrib import admin

from kaspi_delivery_django import orders, signals
from kaspi_delivery_django.client import http
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.sandbox.adapter import SandboxAdapter
from tests.docs import pages
from tests.shop import models

pytest.register_assert_rewrite(
    "tests.docs.files",
    "tests.docs.python_blocks",
    "tests.docs.rest_blocks",
    "tests.docs.shell_blocks",
)

SIGNALS = {name: value for name, value in vars(signals).items() if isinstance(value, signals.Signal)}
EXAMPLE_ID = "dlv_01hfz18tnb7tqw"
ADAPTER = "shop.kaspi.ShopOrderAdapter"


def adapter_block():
    """Return the block of README.md that shows a whole shop/kaspi.py."""
    [block] = [b for b in pages.read("README.md").blocks if "class ShopOrderAdapter" in b.text]
    return block


@pytest.fixture
def shop(monkeypatch, settings):
    """Install the package `shop` of the pages: the tests' models, and the adapter that README.md shows."""
    for name in ("shop", "shop.kaspi"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "shop.models", models)
    exec(adapter_block().text, vars(sys.modules["shop.kaspi"]))  # ours, and what is tested
    forget = (orders._load.cache_clear, orders._find.cache_clear)
    [clear() for clear in forget]
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": [ADAPTER]}
    yield sys.modules["shop.kaspi"]
    [clear() for clear in forget]


@pytest.fixture
def kaspi(kaspi, monkeypatch):
    """Answer every client from the sandbox, whatever its base URL; the first delivery has the id of the examples."""
    monkeypatch.setattr(http, "DeadlineAdapter", lambda **_options: SandboxAdapter(kaspi))
    choose, first = kaspi._random.choices, [EXAMPLE_ID.removeprefix("dlv_")]
    monkeypatch.setattr(kaspi._random, "choices", lambda *of, k: first.pop() if first else choose(*of, k=k))
    return kaspi


@pytest.fixture
def context(transactional_db, shop, kaspi, drain, settings):
    """Return the names that a block may use: real objects, a booked order among them."""
    order = models.Order.objects.create()
    drain()
    return {
        "Order": models.Order,
        "adapter": shop.ShopOrderAdapter,
        "api_key": settings.KASPI_DELIVERY["API_KEY"],
        "delivery": Delivery.objects.get(object_id=str(order.pk)),
        "order": order,
        "request": replace(shop.ShopOrderAdapter().build_request(order), external_order_id="order-742"),
        "send_sms": "{} {}".format,
    }


@pytest.fixture(autouse=True)
def put_back(monkeypatch):
    """Undo what a block registers in this process: receivers, and pages of the admin."""
    import_module("tests.urls")  # which would keep for good what it finds of the admin when it is read first
    monkeypatch.setattr(admin.site, "_wrapped", admin.AdminSite())
    before = {name: (list(signal.receivers), signal) for name, signal in SIGNALS.items()}
    yield
    for receivers, signal in before.values():
        signal.receivers = receivers
        signal.sender_receivers_cache.clear()
