"""What kaspi_enqueue reads, and that it books each order as it is then."""

from collections import Counter

import pytest

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services.deliveries import booking
from kaspi_delivery_django.services.errors import AdapterFailed
from kaspi_delivery_django.services.maintenance import backfill
from tests.shop import adapters
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def enqueue(monkeypatch, kaspi):
    """Enqueue the orders that a function returns; return the counts."""

    def run(orders, **options):
        monkeypatch.setattr(adapters.OrderAdapter, "orders_to_enqueue", lambda _self: orders(), raising=False)
        return sum(backfill.enqueue(adapters.OrderAdapter(), batch=2, **options), Counter())

    return run


def bulk(count):
    return Order.objects.bulk_create([Order() for _ in range(count)])


@pytest.mark.parametrize(
    "orders",
    [lambda: Order.objects.order_by("-pk"), lambda: Order.objects.order_by("address").reverse()],
    ids=["newest first", "by another column"],
)
def test_the_shops_own_order_skips_nothing(enqueue, orders):
    """The backfill orders by key, whatever the queryset's order."""
    bulk(5)
    assert enqueue(lambda: None) == {}  # today, or on this site
    assert enqueue(orders) == {"seen": 5, "booked": 5}


@pytest.mark.parametrize(
    "orders",
    [
        lambda: Order.objects.all()[:5],
        lambda: list(Order.objects.all()),
        lambda: Order.objects.filter(pk=1).union(Order.objects.filter(pk__gt=1)),
    ],
    ids=["a slice", "a list", "a union"],
)
def test_a_queryset_that_cannot_be_filtered_is_an_adapter_error(enqueue, orders):
    """The message names what to return."""
    bulk(3)
    with pytest.raises(AdapterFailed, match="neither sliced nor combined"):
        enqueue(orders)


@pytest.mark.parametrize("change", [lambda row: row.update(cancelled=True), lambda row: row.delete()])
def test_an_order_that_is_cancelled_or_deleted_meanwhile_is_not_booked(enqueue, monkeypatch, change):
    """It is read just before it is booked, not with its batch."""
    first, second = bulk(2)
    book = booking.request_delivery

    def book_while_the_customer_cancels(order):
        change(Order.objects.filter(pk=second.pk))
        return book(order)

    monkeypatch.setattr(booking, "request_delivery", book_while_the_customer_cancels)
    assert enqueue(Order.objects.all) == {"seen": 2, "booked": 1}
    assert Delivery.objects.get().object_id == str(first.pk)


def test_a_failed_query_of_the_adapter_is_flagged(enqueue, monkeypatch):
    """The transaction survives it, so that the failure can be recorded."""
    bulk(1)
    monkeypatch.setattr(adapters.OrderAdapter, "wants_delivery", adapters.QueryBreaker.wants_delivery)
    assert enqueue(Order.objects.all) == {"seen": 1, "failed": 1}
    assert Delivery.objects.get().attention == "adapter_failed"


def test_a_dry_run_names_the_line_that_raised(enqueue, monkeypatch, caplog):
    """As the real run does, and it writes nothing."""
    bulk(1)
    monkeypatch.setattr(adapters.OrderAdapter, "wants_delivery", adapters.BrokenAdapter.wants_delivery)
    assert enqueue(Order.objects.all, dry_run=True) == {"seen": 1, "failed": 1}
    assert "ValueError at tests.shop.adapters:" in caplog.text
    assert "shop/adapters.py" not in caplog.text  # a path of the server
    assert not Delivery.objects.exists()


def test_accounts_in_two_environments_hide_no_order(enqueue, settings):
    """A delivery in the sandbox is none in production."""
    known, _new = bulk(2)
    booking.request_delivery(known)
    accounts = {"other": {"API_KEY": "another-key", "ENVIRONMENT": "production"}}
    base = {name: value for name, value in settings.KASPI_DELIVERY.items() if name != "BASE_URL"}
    settings.KASPI_DELIVERY = {**base, "ACCOUNTS": accounts}
    assert enqueue(Order.objects.all) == {"seen": 2, "booked": 1}
    assert enqueue(Order.objects.all) == {"seen": 2}


def test_a_generation_that_its_adapter_failed_on_keeps_its_number(due, kaspi, drain, monkeypatch):
    """Saving the order tries again, under the same name."""
    Delivery.objects.update(generation=2, external_order_id="order-7-2", object_id=str(Order.objects.get().pk))
    with monkeypatch.context() as broken:
        broken.setattr(adapters.OrderAdapter, "build_request", adapters.BrokenBuilder.build_request)
        drain()
    assert Delivery.objects.get().attention == "adapter_failed"
    order = Order.objects.get()
    order.save()
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.external_order_id) == ("created", f"order-{order.pk}-2")
