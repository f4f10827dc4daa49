"""Checks of the shop's adapters: the keys of their models, and the pages that show deliveries."""

import pytest
from django.apps import apps
from django.contrib import admin

from kaspi_delivery_django.admin import DeliveryInline, OrderDeliveriesMixin
from kaspi_delivery_django.checks.adapters import _fits
from tests.checks.samples import GOOD, ORDERS
from tests.keys.models import Attached, Carded, Named, Paired, Timed
from tests.shop.models import Note, Order, ProxyOrder
from tests.test_orders import GiftAdapter


class CarefulGiftAdapter(GiftAdapter):
    """A second kind of order, with ids of its own."""

    def external_order_id(self, order):
        """Distinguish gifts from orders."""
        return f"gift-{order.pk}"


class GiftAccountAdapter(CarefulGiftAdapter):
    """Ships gifts from Almaty."""

    def account(self, order):
        """Name the account."""
        return "almaty"


def test_e012_a_primary_key_without_a_text(found):
    """A duration's text is no duration again: such an order would wait on the list for ever."""
    messages = found(**GOOD, ORDER_ADAPTERS=["tests.keys.adapters.TimedAdapter"])
    assert list(messages) == ["E012"]
    assert messages["E012"].obj is Timed
    assert "adapt another model" in messages["E012"].hint


@pytest.mark.parametrize("name", ["Numbered", "Identified", "Named", "Priced", "Coded", "Attached"])
def test_e012_is_silent_about_keys_that_can_be_written(found, name):
    """Numbers, UUIDs, texts, and fields with conversions of their own."""
    assert "E012" not in found(**GOOD, ORDER_ADAPTERS=[f"tests.keys.adapters.{name}Adapter"])


def test_e010_a_primary_key_that_does_not_fit(found):
    """PostgreSQL would refuse the row, and SQLite keep a key that finds no order on another engine."""
    messages = found(**GOOD, ORDER_ADAPTERS=["tests.keys.adapters.NamedAdapter"])
    assert (list(messages), messages["E010"].obj) == (["E010"], Named)
    assert "at most 64 characters" in messages["E010"].hint


@pytest.mark.parametrize(
    ("model", "room", "fits"),
    [
        (Named, 99, False),
        (Named, 100, True),
        (Paired, 64, False),
        *((one, 1, True) for one in (Attached, Carded, Order)),
    ],
)
def test_e010_looks_at_the_key_that_is_stored(model, room, fits):
    """A number and a UUID always fit, a child has its parent's key, and two columns are no key of one."""
    assert _fits(model, room) is fits


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"inlines": [DeliveryInline]}, DeliveryInline),
        ({"bases": (OrderDeliveriesMixin,)}, None),
        ({"bases": (OrderDeliveriesMixin,), "kaspi_shipments": "no_such_relation"}, None),
    ],
)
def test_w038_an_order_page_of_a_model_that_nothing_serves(found, pages, parts, named):
    """The mixin on a page, or the inline: both would show nothing."""
    values = {name: value for name, value in parts.items() if name != "bases"}
    page = type("NoteAdmin", (*parts.get("bases", ()), admin.ModelAdmin), values)
    pages.register(Note, page)
    message = found(**GOOD)["W038"]
    assert message.obj is (named or page)
    assert "shop.Note" in message.msg
    assert 'kaspi_shipments = "shipments"' in message.hint


@pytest.mark.parametrize(
    ("adapter", "values"),
    [
        (ORDERS, {}),
        ("tests.shop.switching.ShipmentAdapter", {}),
        ("tests.shop.switching.ShipmentAdapter", {"kaspi_shipments": "shipments"}),
    ],
)
def test_w038_is_silent_for_orders_and_for_parents_of_parcels(found, pages, adapter, values):
    """An adapter serves the page's model, or the only related one that is shipped."""
    inline = type("Table", (DeliveryInline,), values)
    pages.register(Order, type("Page", (OrderDeliveriesMixin, admin.ModelAdmin), {"inlines": [inline], **values}))
    pages.register(ProxyOrder, type("Page", (OrderDeliveriesMixin, admin.ModelAdmin), values))
    assert found(**{**GOOD, "ORDER_ADAPTERS": [adapter]}) == {}


def test_w038_needs_adapters_and_an_admin(found, pages, monkeypatch):
    """Other checks name what is missing; a worker may have settings without the admin."""
    pages.register(Note, type("NoteAdmin", (OrderDeliveriesMixin, admin.ModelAdmin), {}))
    assert list(found(**GOOD, ORDER_ADAPTERS=[])) == ["W013"]
    installed = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "django.contrib.admin" and installed(name))
    assert found(**GOOD) == {}
