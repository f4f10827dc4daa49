"""Which adapter a model has, and the errors of invalid adapters."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from kaspi_delivery_django import orders
from kaspi_delivery_django.orders import OrderAdapter as BaseAdapter
from tests.shop.adapters import OrderAdapter, UnprintableAdapter
from tests.shop.models import GiftOrder, Note, Order, ProxyOrder

HERE = __name__


class ProxyAdapter(OrderAdapter):
    """An adapter of a proxy."""

    model = "shop.ProxyOrder"


class GiftAdapter(OrderAdapter):
    """An adapter of a multi-table child."""

    model = "shop.GiftOrder"


class HalfAdapter(BaseAdapter[Order]):
    """An adapter without `build_request`."""

    model = "shop.Order"

    def wants_delivery(self, order):
        return True


class MissingModelAdapter(OrderAdapter):
    """An adapter of a missing model."""

    model = "shop.Nowhere"


class ClassAdapter(OrderAdapter):
    """An adapter with a class instead of its name."""

    model = Order


class NamelessAdapter(HalfAdapter):
    """An adapter without a model."""

    model = ""

    def build_request(self, order):
        raise NotImplementedError


class ClumsyAdapter(OrderAdapter):
    """An adapter whose constructor raises."""

    def __init__(self):
        raise ValueError("no courier today")


@pytest.fixture
def using(settings):
    """Set ORDER_ADAPTERS to classes of this module, by their names."""

    def use(*names):
        paths = [name if "." in name else f"{HERE}.{name}" for name in names]
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": paths}

    return use


def test_a_model_its_proxies_and_its_children_have_one_adapter(using):
    """Another model has none, and nothing has one if ORDER_ADAPTERS is empty."""
    assert {type(orders.adapter_for(model)) for model in (Order, ProxyOrder, GiftOrder)} == {OrderAdapter}
    assert orders.adapter_for(Note) is None
    using()
    assert orders.adapter_for(Order) is None
    assert orders.adapters() == {}


def test_an_adapter_of_a_proxy_is_the_models(using):
    """It serves the model's own rows too; the setting is read at every use."""
    assert type(orders.adapter_for(Order)) is OrderAdapter
    using("ProxyAdapter")
    assert type(orders.adapter_for(Order)) is ProxyAdapter
    assert list(orders.adapters()) == [Order]


def test_a_childs_own_adapter_comes_first(using):
    """It is not its parent's."""
    using("tests.shop.adapters.OrderAdapter", "GiftAdapter")
    assert [type(orders.adapter_for(model)) for model in (GiftOrder, Order)] == [GiftAdapter, OrderAdapter]
    using("GiftAdapter")
    assert orders.adapter_for(Order) is None


REFUSED = [
    (["tests.shop.adapters.OrderAdapter", "ProxyAdapter"], "two adapters for shop.ProxyOrder"),
    (["nowhere.Adapter"], "cannot import 'nowhere.Adapter'"),
    (["tests.shop.adapters.Missing"], "cannot import 'tests.shop.adapters.Missing'"),
    (["tests.shop.adapters.NotAnAdapter"], "'tests.shop.adapters.NotAnAdapter' is not an OrderAdapter"),
    (["HalfAdapter"], "build_request"),
    (["ClumsyAdapter"], "cannot be instantiated: no courier today"),
    (["MissingModelAdapter"], "MissingModelAdapter.model must name an installed model"),
    (["ClassAdapter"], 'as "shop.Order"'),
    (["NamelessAdapter"], "NamelessAdapter.model must name an installed model"),
]


@pytest.mark.parametrize(("names", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_an_invalid_adapter_is_refused(using, names, message):
    """The error names the class and the mistake."""
    using(*names)
    with pytest.raises(ImproperlyConfigured) as caught:
        orders.adapters()
    assert message in str(caught.value)


def test_the_defaults_of_an_adapter():
    """No cancel, no reason, the default account, and a name made of the primary key."""
    adapter, order = NamelessAdapter(), Order(pk=742)
    assert (adapter.wants_cancel(order), adapter.cancel_reason(order)) == (False, "")
    assert (adapter.external_order_id(order), adapter.account(order)) == ("order-742", "default")


@pytest.mark.django_db
def test_an_adapter_finds_the_order_that_it_names_by_default():
    """By "order-742" and nothing else; one that names its orders itself has to find them itself."""
    order = Order.objects.create(paid=False)
    assert OrderAdapter().find_order(f"order-{order.pk}") == order
    others = (str(order.pk), f"Order-{order.pk}", "order-", "order-0", "order-1e3", "order-" + "9" * 40)
    assert [OrderAdapter().find_order(text) for text in others] == [None] * len(others)
    assert UnprintableAdapter().find_order(f"order-{order.pk}") is None
