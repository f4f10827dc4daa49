"""What a checkout pays for: the statements of an order's save."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import fast_sql
from kaspi_delivery_django.services.deliveries import booking
from kaspi_delivery_django.services.deliveries.identities import Identity
from tests.shop.models import GiftOrder, Order

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def content_type():
    """Let Django know the order's content type, as it does after the first order of a process."""
    ContentType.objects.get_for_model(Order)


@pytest.fixture
def order(kaspi):
    """Return an order that was booked, as a later request reads it."""
    return Order.objects.get(pk=Order.objects.create().pk)


def test_a_first_save_costs_five_statements_more(django_assert_num_queries):
    """A glance, a savepoint around two rows, and its end."""
    with transaction.atomic(), django_assert_num_queries(1 + 5):
        Order.objects.create()


def test_a_save_that_books_later_costs_the_same(django_assert_num_queries):
    """As when the order is paid for after it was made."""
    order = Order.objects.create(paid=False)
    order.paid = True
    with transaction.atomic(), django_assert_num_queries(1 + 5):
        order.save()


def test_a_later_save_costs_a_glance_in_a_savepoint(order, django_assert_num_queries):
    """Whether Kaspi has the delivery already or not."""
    for delivery_id in (None, "dlv_1"):
        Delivery.objects.update(delivery_id=delivery_id)
        with transaction.atomic(), django_assert_num_queries(1 + 3):
            order.save()


def test_a_save_that_wants_nothing_looks_for_what_the_adapter_failed_on(django_assert_num_queries):
    """A new order has nothing to look for."""
    with transaction.atomic(), django_assert_num_queries(1):
        order = Order.objects.create(paid=False)
    with transaction.atomic(), django_assert_num_queries(1 + 3):
        order.save()


@pytest.mark.parametrize("name", ["paid", "address"])
def test_a_partial_save_that_books_costs_five_statements_more(name, django_assert_num_queries):
    """The row is read together with the question whether it has a delivery."""
    order = Order.objects.create(paid=False)
    Order.objects.update(paid=True)
    order.paid = True
    with transaction.atomic(), django_assert_num_queries(1 + 5):
        order.save(update_fields=[name])
    assert Delivery.objects.get()


def test_a_later_partial_save_costs_less_than_five_statements(order, django_assert_num_queries):
    """The row and the look-up, in a savepoint."""
    with transaction.atomic(), django_assert_num_queries(1 + 4):
        order.save(update_fields=["address"])


@pytest.mark.django_db(transaction=True)
def test_a_later_save_outside_of_a_transaction_costs_a_glance_alone(order, django_assert_num_queries):
    """There is nothing that an error of ours could break."""
    with django_assert_num_queries(1 + 1):
        order.save()


def test_a_glance_reads_few_columns(order, django_assert_num_queries):
    """An address that nobody needs is not fetched."""
    with transaction.atomic(), django_assert_num_queries(4) as statements:
        order.save()
    assert "pickup_address" not in statements.captured_queries[2]["sql"]


def test_of_several_generations_the_newest_counts(order):
    """The one that was cancelled stays as it is."""
    first = Delivery.objects.get()
    second = Delivery.objects.get()
    second.pk, second.generation, second.external_order_id = None, 2, "order-second"
    second.attention = "adapter_failed"
    second.save()
    known = fast_sql.delivery_keys_of(str(order.pk), first.content_type_id, using="default")
    assert [one.attention for one in known] == ["adapter_failed", ""]
    own = Identity(first.account, first.environment, first.external_order_id)
    assert [booking.is_up_to_date(one, own) for one in known] == [False, True]


def test_a_child_that_comes_later_books_nothing_twice():
    """Django calls the row of a multi-table child new, though its parent was saved before; nothing is even tried."""
    order = Order.objects.create()
    child = GiftOrder(order_ptr=order, card="for you")
    child.__dict__.update({name: value for name, value in vars(order).items() if name != "_state"})
    with CaptureQueriesContext(connection) as captured:
        child.save()
    assert Delivery.objects.get().calls.count() == 1
    assert not [query for query in captured if "INTO " in query["sql"] and "kaspi" in query["sql"]]


def test_an_order_that_is_not_as_new_as_django_says_is_booked_once(order):
    """Its key was used before, or another process was faster: the database has the last word."""
    again = Order(pk=order.pk, address="Abay 2")
    Order.objects.all().delete()
    del order
    again.save(force_insert=True)
    assert Delivery.objects.get().calls.count() == 1


def test_another_models_delivery_is_none_of_the_orders(order):
    """Two models may ship under the same key."""
    elsewhere = ContentType.objects.get_for_model(GiftOrder)
    Delivery.objects.update(content_type=elsewhere, external_order_id="gift-1")
    order.save()
    assert Delivery.objects.exclude(content_type=elsewhere).get().attention == ""
