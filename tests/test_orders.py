"""Which adapter is whose, and what is said of one that cannot be used."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from kaspi_delivery_django import orders
from kaspi_delivery_django.orders import OrderAdapter as BaseAdapter
from tests.shop.adapters import OrderAdapter
from tests.shop.models import GiftOrder, Note, Order, ProxyOrder

HERE = __name__


class ProxyAdapter(OrderAdapter):
    """Names a proxy, which stands for its model."""

    model = "shop.ProxyOrder"


class GiftAdapter(OrderAdapter):
    """For the multi-table child only."""

    model = "shop.GiftOrder"


class HalfAdapter(BaseAdapter[Order]):
    """Forgets what is asked of it."""

    model = "shop.Order"

    def wants_delivery(self, order):
        """Answer one of the two questions."""
        return True


class MissingModelAdapter(OrderAdapter):
    """Names a model that nobody installed."""

    model = "shop.Nowhere"


class MissingAppAdapter(OrderAdapter):
    """Names an app that nobody installed."""

    model = "nowhere.Order"


class WordlessAdapter(OrderAdapter):
    """Names no app."""

    model = "Order"


class ClassAdapter(OrderAdapter):
    """Gives the class instead of its name."""

    model = Order


class NamelessAdapter(BaseAdapter[Order]):
    """Names no model at all."""

    def wants_delivery(self, order):
        """Answer the first question."""
        return True

    def build_request(self, order):
        """Fail to answer the second."""
        raise NotImplementedError


class NeedyAdapter(OrderAdapter):
    """Cannot be made without an argument."""

    def __init__(self, shop):
        self.shop = shop


class ClumsyAdapter(OrderAdapter):
    """Raises while it is made."""

    def __init__(self):
        raise ValueError("no courier today")


@pytest.fixture
def using(settings):
    """Set ORDER_ADAPTERS to classes of this module, by their names."""

    def use(*names):
        paths = [name if "." in name else f"{HERE}.{name}" for name in names]
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": paths}

    return use


@pytest.mark.parametrize("model", [Order, ProxyOrder, GiftOrder])
def test_a_model_its_proxies_and_its_children_have_one_adapter(model):
    """Whatever name a row is saved under, the model's adapter is asked."""
    assert type(orders.adapter_for(model)) is OrderAdapter


def test_another_model_has_none():
    """The shop's other rows are none of our business."""
    assert orders.adapter_for(Note) is None


def test_without_adapters_nothing_has_one(using):
    """ORDER_ADAPTERS may be empty."""
    using()
    assert orders.adapter_for(Order) is None
    assert orders.adapters() == {}


def test_an_adapter_of_a_proxy_is_the_models(using):
    """An adapter that names a proxy is asked for the model's own rows too."""
    using("ProxyAdapter")
    assert type(orders.adapter_for(Order)) is ProxyAdapter
    assert list(orders.adapters()) == [Order]


def test_a_childs_own_adapter_comes_first(using):
    """A multi-table child with an adapter of its own is not taken for its parent."""
    using("tests.shop.adapters.OrderAdapter", "GiftAdapter")
    assert type(orders.adapter_for(GiftOrder)) is GiftAdapter
    assert type(orders.adapter_for(Order)) is OrderAdapter


def test_a_childs_adapter_is_not_its_parents(using):
    """Adapting the child leaves plain orders alone."""
    using("GiftAdapter")
    assert orders.adapter_for(Order) is None


def test_a_change_of_the_setting_is_seen(using):
    """The adapters are those that the setting names now."""
    assert type(orders.adapter_for(Order)) is OrderAdapter
    using("ProxyAdapter")
    assert type(orders.adapter_for(Order)) is ProxyAdapter


REFUSED = [
    (["tests.shop.adapters.OrderAdapter", "ProxyAdapter"], "two adapters for shop.ProxyOrder"),
    (["nowhere.Adapter"], "cannot import 'nowhere.Adapter'"),
    (["tests.shop.adapters.Missing"], "cannot import 'tests.shop.adapters.Missing'"),
    (["tests.shop.adapters.NotAnAdapter"], "'tests.shop.adapters.NotAnAdapter' is not an OrderAdapter"),
    (["tests.shop.adapters.SHOP"], "'tests.shop.adapters.SHOP' is not an OrderAdapter"),
    (["HalfAdapter"], "build_request"),
    (["NeedyAdapter"], "cannot be instantiated"),
    (["ClumsyAdapter"], "cannot be instantiated: no courier today"),
    (["MissingModelAdapter"], "MissingModelAdapter.model must name an installed model"),
    (["MissingAppAdapter"], "MissingAppAdapter.model must name an installed model"),
    (["WordlessAdapter"], "WordlessAdapter.model must name an installed model"),
    (["ClassAdapter"], 'as "shop.Order"'),
    (["NamelessAdapter"], "NamelessAdapter.model must name an installed model"),
]


@pytest.mark.parametrize(("names", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_an_adapter_that_cannot_be_used_is_refused_in_words(using, names, said):
    """The error names the class, and what is wrong with it."""
    using(*names)
    with pytest.raises(ImproperlyConfigured) as caught:
        orders.adapters()
    assert said in str(caught.value)


def test_what_a_shop_need_not_write(using):
    """No cancelling, no reason, the default account, and an id made of the primary key."""
    adapter = NamelessAdapter()
    order = Order(pk=742)
    assert adapter.wants_cancel(order) is False
    assert adapter.cancel_reason(order) == ""
    assert adapter.external_order_id(order) == "order-742"
    assert adapter.account(order) == "default"
