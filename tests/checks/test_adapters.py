"""Checks of the shop's adapters: each red and green."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import models
from django.test.utils import isolate_apps

from kaspi_delivery_django.admin import DeliveryInline, OrderDeliveriesMixin
from kaspi_delivery_django.checks.adapters import _fits
from tests.checks.samples import GOOD, ORDERS, OTHER
from tests.keys.models import Timed
from tests.shop.adapters import OrderAdapter
from tests.shop.models import GiftOrder, Note, Order, ProxyOrder


class GiftAdapter(OrderAdapter):
    """A second kind of order, with ids of the same form."""

    model = "shop.GiftOrder"


class CarefulGiftAdapter(GiftAdapter):
    """A second kind of order, with ids of its own."""

    def external_order_id(self, order):
        """Tell gifts from orders."""
        return f"gift-{order.pk}"


class LongNameAdapter(GiftAdapter):
    """Ships something whose key has no room."""

    def model_class(self):
        """Return a model that is no table."""
        return LongName


class GiftAccountAdapter(CarefulGiftAdapter):
    """Ships gifts from Almaty."""

    def account(self, order):
        """Name the account."""
        return "almaty"


with isolate_apps("tests.shop"):

    class LongName(models.Model):
        """Named by a text that may be longer than a delivery remembers."""

        name = models.CharField(max_length=65, primary_key=True)

        class Meta:
            app_label = "shop"

    class ShortName(models.Model):
        """Named by a text that is remembered as a whole."""

        name = models.CharField(max_length=64, primary_key=True)

        class Meta:
            app_label = "shop"

    class Part(LongName):
        """A multi-table child of the long name."""

        class Meta:
            app_label = "shop"

    class Pair(models.Model):
        """Named by two columns together."""

        pk = models.CompositePrimaryKey("one", "two")
        one = models.IntegerField()
        two = models.IntegerField()

        class Meta:
            app_label = "shop"

    class Token(models.Model):
        """Named by a UUID."""

        id = models.UUIDField(primary_key=True)

        class Meta:
            app_label = "shop"


@pytest.mark.parametrize(
    "path", ["nowhere.Adapter", "tests.shop.adapters.NotAnAdapter", "tests.test_orders.ClumsyAdapter"]
)
def test_e005_an_adapter_that_cannot_be_used(found, path):
    """An adapter that is not there, is none, or cannot be made is found before the first order."""
    messages = found(**GOOD, ORDER_ADAPTERS=[path])
    assert list(messages) == ["E005"]
    assert path in messages["E005"].msg
    assert 'ORDER_ADAPTERS=["shop.kaspi.ShopOrderAdapter"]' in messages["E005"].hint


def test_e006_two_adapters_with_the_same_ids(found):
    """Order 7 and gift 7 would both be order-7 at Kaspi."""
    messages = found(**GOOD, ORDER_ADAPTERS=[ORDERS, f"{__name__}.GiftAdapter"])
    assert list(messages) == ["E006"]
    assert "OrderAdapter, GiftAdapter" in messages["E006"].msg
    assert "Override external_order_id" in messages["E006"].hint


def test_e006_is_silent_when_the_ids_differ(found):
    """Two adapters are fine when one of them names its orders differently."""
    assert found(**GOOD, ORDER_ADAPTERS=[ORDERS, f"{__name__}.CarefulGiftAdapter"]) == {}


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
    messages = found(**GOOD, ORDER_ADAPTERS=[f"{__name__}.LongNameAdapter"])
    assert list(messages) == ["E010"]
    assert messages["E010"].obj is LongName
    assert "at most 64 characters" in messages["E010"].hint


@pytest.mark.parametrize(
    ("model", "fits"),
    [
        (LongName, False),
        (Part, False),
        (Pair, False),
        (ShortName, True),
        (Token, True),
        (Order, True),
        (GiftOrder, True),
    ],
)
def test_e010_looks_at_the_key_that_is_stored(model, fits):
    """A number and a UUID always fit, a child has its parent's key, and two columns are no key of one."""
    assert _fits(model, 64) is fits


def test_e011_an_account_that_is_not_there(found):
    """Every order would wait for a person."""
    messages = found(ACCOUNTS={"almaty": GOOD, "astana": OTHER})
    assert list(messages) == ["E011"]
    assert messages["E011"].obj is OrderAdapter
    assert "return one of: almaty, astana" in messages["E011"].hint


def test_e011_is_silent_for_an_adapter_that_names_one(found):
    """What it returns is not asked: there is no order yet."""
    assert found(ACCOUNTS={"almaty": GOOD}, ORDER_ADAPTERS=[f"{__name__}.GiftAccountAdapter"]) == {}


def test_w013_no_adapter(found):
    """Nothing can be booked without one."""
    messages = found(**GOOD, ORDER_ADAPTERS=[])
    assert list(messages) == ["W013"]
    assert 'ORDER_ADAPTERS=["shop.kaspi.ShopOrderAdapter"]' in messages["W013"].hint


def test_w014_accounts_that_no_adapter_ships_from(found):
    """A second merchant was added to the settings, and forgotten in the adapter."""
    messages = found(**GOOD, ACCOUNTS={"almaty": OTHER})
    assert list(messages) == ["W014"]
    assert "return one of: almaty, default" in messages["W014"].hint


def test_w014_is_silent_when_one_adapter_names_an_account(found):
    """The others may ship from the default one."""
    adapters = [ORDERS, f"{__name__}.GiftAccountAdapter"]
    assert found(**GOOD, ACCOUNTS={"almaty": OTHER}, ORDER_ADAPTERS=adapters) == {}


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


def test_w038_says_nothing_before_there_are_adapters(found, pages):
    """Other checks do."""
    pages.register(Note, type("NoteAdmin", (OrderDeliveriesMixin, admin.ModelAdmin), {}))
    assert list(found(**GOOD, ORDER_ADAPTERS=[])) == ["W013"]


def test_w038_needs_no_admin(found, pages, monkeypatch):
    """A worker may have settings without it."""
    pages.register(Note, type("NoteAdmin", (OrderDeliveriesMixin, admin.ModelAdmin), {}))
    installed = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "django.contrib.admin" and installed(name))
    assert found(**GOOD) == {}
