"""What a save of an order does, and its statements; no error of ours breaks a checkout."""

from unittest.mock import Mock

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, connection, models, transaction
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.exceptions import CannotBook, CannotRetry
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import fast_sql, request_delivery, retry_delivery
from kaspi_delivery_django.services.deliveries import booking, calls, identities, orders
from kaspi_delivery_django.services.deliveries.identities import Identity
from tests.services.deliveries.conftest import save
from tests.shop import adapters
from tests.shop.models import GiftOrder, Note, Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def name_by_address(monkeypatch):
    """Name the orders by their address."""
    monkeypatch.setattr(adapters.OrderAdapter, "external_order_id", lambda _self, order: order.address)


@pytest.fixture
def adapter_may_fail(monkeypatch):
    """Let the adapter fail on orders with the address "broken"."""
    wants = adapters.OrderAdapter.wants_delivery

    def fails(self, order):
        if order.address == "broken":
            raise TypeError
        return wants(self, order)

    monkeypatch.setattr(adapters.OrderAdapter, "wants_delivery", fails)


def test_an_unsaved_value_does_not_count():
    """The database's row counts: the instance is changed, and another field is saved."""
    order = Order.objects.create(paid=False)
    order.paid = True
    order.save(update_fields=["address"])
    assert not Delivery.objects.exists()
    order.save()
    order.cancelled = True
    order.save(update_fields=["address"])
    assert ApiCall.objects.get().state == "due"
    order.save(update_fields=["cancelled"])
    assert ApiCall.objects.get().state == "abandoned"


@pytest.mark.parametrize("is_deferred", [False, True])
def test_a_value_that_another_process_saved_counts(is_deferred):
    """The instance is older than the row, or has deferred fields."""
    order = Order.objects.create(paid=False)
    order = Order.objects.only("address").get() if is_deferred else order
    Order.objects.update(paid=True)
    order.save(update_fields=None if is_deferred else ["address"])
    assert Delivery.objects.get().object_id == str(order.pk)


def test_a_partial_save_of_a_deleted_order_books_nothing():
    """An earlier receiver of the shop has deleted it."""
    order = Order.objects.create(paid=False)
    Order.objects.all().delete()
    orders.follow_order(identities.adapter_of(order), order, orders.Save(using="default", is_partial=True))
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("weight", [models.F("weight_grams") + 600, "1400"])
def test_an_expression_or_a_text_is_read_from_the_row(monkeypatch, weight):
    """The adapter fails on the instance, which is not flagged."""
    monkeypatch.setattr(adapters.OrderAdapter, "wants_delivery", lambda _self, order: order.weight_grams >= 1000)
    order = Order.objects.create(weight_grams=800)
    assert not Delivery.objects.exists()
    save(order, weight_grams=weight)
    assert Delivery.objects.get().attention == ""


def test_an_unsent_delivery_follows_its_orders_name(kaspi, drain, name_by_address, flags):
    """Even if its payload is built already; once it is sent, Kaspi knows it by that name."""
    with transaction.atomic():
        order = Order.objects.create(address="KZ-none")
        save(order, address="KZ-1")
    ApiCall.objects.update(payload='{"externalOrderId": "KZ-1"}', payload_sha256="1")
    save(order, address="KZ-2")
    drain()
    assert len(kaspi.deliveries_for("KZ-2")) == 1
    save(order, address="KZ-3")
    assert (Delivery.objects.get().external_order_id, ApiCall.objects.get().idempotency_key) == ("KZ-2", "KZ-2")
    assert flags == []


def test_a_new_name_of_another_order_is_flagged(name_by_address):
    """The unsent delivery keeps its own."""
    Order.objects.create(address="KZ-1")
    order = Order.objects.create(address="KZ-2")
    save(order, address="KZ-1")
    delivery = Delivery.objects.get(object_id=str(order.pk))
    assert (delivery.attention, delivery.external_order_id) == ("adapter_failed", "KZ-2")


@pytest.mark.parametrize("is_corrected", [False, True])
def test_a_name_of_another_order_is_flagged_after_the_commit(kaspi, drain, name_by_address, flags, is_corrected):
    """Unless a second save in the same transaction corrects it."""
    Order.objects.create(address="KZ-none")
    with transaction.atomic():
        order = Order.objects.create(address="KZ-none")
        save(order)
        assert Delivery.objects.get(object_id=str(order.pk)).attention == "adapter_failed"
        if is_corrected:
            save(order, address="KZ-2")
        assert flags == []
    drain()
    assert len(kaspi.deliveries_for("KZ-2")) == is_corrected
    assert flags == [] if is_corrected else ["adapter_failed"]
    assert Delivery.objects.flagged().count() == len(flags)


@pytest.mark.usefixtures("adapter_may_fail")
@pytest.mark.parametrize("is_paid", [True, False])
def test_a_save_of_a_booked_order_clears_only_the_adapters_flag(booked, is_paid):
    """Also one that does not want it: only `wants_cancel` cancels."""
    order = Order.objects.get()
    save(order, address="broken")
    assert Delivery.objects.get().attention == "adapter_failed"
    for attention, left in (("adapter_failed", ""), ("too_old", "too_old")):
        Delivery.objects.update(attention=attention)
        save(order, address="Abay 1", paid=is_paid)
        assert (Delivery.objects.get().attention, Delivery.objects.get().delivery_id) == (left, booked.delivery_id)
    assert booked.calls.get().state == "done"


@pytest.mark.usefixtures("adapter_may_fail")
def test_a_failure_that_another_save_cleared_is_left():
    """Or whose delivery is deleted."""
    order = Order.objects.create(address="broken")
    ref = identities.order_ref(identities.adapter_of(order), order, from_row=False)
    Delivery.objects.update(attention="")
    booking.clear_failure(ref)
    assert ApiCall.objects.get().state == "stuck"
    Delivery.objects.all().delete()
    booking.clear_failure(ref)


@pytest.mark.usefixtures("adapter_may_fail")
def test_a_childs_first_save_may_be_its_orders_second():
    """Django calls the child's row new, though the order was flagged before."""
    order = Order.objects.create(address="broken", paid=False)
    values = {field.attname: getattr(order, field.attname) for field in Order._meta.concrete_fields}
    GiftOrder(**{**values, "address": "Abay 1"}, order_ptr_id=order.pk).save()
    assert not Delivery.objects.exists()


def run_broken_sql(*_args, **_kwargs):
    """Fail as a statement of ours does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT no_such_column FROM kaspi_delivery_delivery")


@pytest.mark.usefixtures("adapter_may_fail")
@pytest.mark.parametrize(
    ("broken", "address"),
    [
        ((fast_sql, "_DELIVERIES_SQL", "SELECT no_such_column FROM kaspi_delivery_delivery WHERE object_id = %s"), ""),
        ((fast_sql, "_insert_sql", lambda *_args, **_kwargs: "INSERT INTO no_such_table"), ""),
        ((calls, "runners", None), ""),
        ((calls, "add_stuck_create", run_broken_sql), "broken"),
    ],
    ids=["select", "insert", "a mistake", "flag"],
)
def test_an_error_of_ours_breaks_no_checkout(monkeypatch, caplog, broken, address):
    """As of code that is deployed before its migration: the transaction goes on, and the order is logged."""
    monkeypatch.setattr(*broken)
    with transaction.atomic():
        order = Order.objects.create(address=address)
        Note.objects.create(text="the checkout goes on")
    assert (Order.objects.count(), Note.objects.count(), Delivery.objects.count()) == (1, 1, 0)
    assert f"order not followed: model={Order} pk={order.pk}" in caplog.text


def test_an_error_outside_of_a_transaction_leaves_no_half(monkeypatch):
    """Both rows are written, or none."""
    monkeypatch.setattr(booking.calls, "add_create", Mock(side_effect=DatabaseError))
    Order.objects.create()
    assert (Order.objects.count(), Delivery.objects.count()) == (1, 0)


@pytest.mark.parametrize("hidden", [(fast_sql, "delivery_keys_of", ()), (identities, "newest_of", [])])
def test_the_row_of_a_faster_transaction_is_used(monkeypatch, hidden):
    """It was not committed when it was looked for."""
    order = Order.objects.create()
    module, name, result = hidden
    monkeypatch.setattr(module, name, lambda *_args, **_kwargs: result)
    with transaction.atomic():
        order.save()
    order.save()
    assert request_delivery(order) == Delivery.objects.get()
    assert ApiCall.objects.get().state == "due"


@pytest.fixture
def elsewhere(monkeypatch):
    """Let every save go to another database of the project."""
    follow = orders.follow_order

    def follow_elsewhere(adapter, order, saved):
        follow(adapter, order, orders.Save(using="elsewhere", is_new=saved.is_new, is_partial=saved.is_partial))

    monkeypatch.setattr(orders, "follow_order", follow_elsewhere)
    monkeypatch.setattr(orders, "after_commit", lambda work, *args, **_using: work(*args))


def test_an_order_of_another_database_is_flagged(kaspi, drain, elsewhere, monkeypatch):
    """It is neither sent nor abandoned; an order of our database with the same key is booked as usual."""
    order = Order.objects.create()
    order.save()
    drain()
    delivery, call = Delivery.objects.get(), ApiCall.objects.get()
    assert (delivery.attention, delivery.object_id, call.state) == ("adapter_failed", f"elsewhere:{order.pk}", "stuck")
    assert "is in the database 'elsewhere', which no worker reads" in call.error_message
    with pytest.raises(CannotRetry):
        retry_delivery(delivery)
    assert not kaspi.deliveries
    monkeypatch.undo()
    order.save()
    assert set(Delivery.objects.values_list("attention", flat=True)) == {"adapter_failed", ""}


@pytest.mark.usefixtures("adapter_may_fail", "elsewhere")
def test_an_unwanted_order_of_another_database_is_ignored():
    """One that the adapter fails on, or that is requested, is flagged."""
    Order.objects.create(paid=False)
    assert not Delivery.objects.exists()
    Order.objects.create(address="broken")
    assert Delivery.objects.get().object_id.startswith("elsewhere:")
    order = Order(pk=742)
    order._state.db = "elsewhere"
    assert request_delivery(order).attention == "adapter_failed"


@pytest.fixture
def saved(kaspi):
    """Return a booked order as a later request reads it; Django knows its content type."""
    ContentType.objects.get_for_model(Order)
    return Order.objects.get(pk=Order.objects.create().pk)


@pytest.mark.django_db(transaction=False)
def test_the_statements_of_a_save_that_books(saved, django_assert_num_queries):
    """Django's own, a query, and a savepoint around two rows; also when it is paid later or saved in part."""
    with transaction.atomic(), django_assert_num_queries(1 + 5):
        Order.objects.create()
    unpaid = [Order.objects.create(paid=False) for _ in range(3)]
    Order.objects.update(paid=True)
    for order, names in zip(unpaid, (None, ["paid"], ["address"]), strict=True):
        order.paid = True
        with transaction.atomic(), django_assert_num_queries(1 + 5):
            order.save(update_fields=names)
    assert Delivery.objects.count() == 5


@pytest.mark.django_db(transaction=False)
@pytest.mark.parametrize("delivery_id", [None, "dlv_1"])
def test_the_statements_of_a_later_save(saved, django_assert_num_queries, delivery_id):
    """One query of few columns in a savepoint; a partial save reads the row too."""
    Delivery.objects.update(delivery_id=delivery_id)
    with transaction.atomic(), django_assert_num_queries(1 + 3) as statements:
        saved.save()
    assert "pickup_address" not in statements.captured_queries[2]["sql"]
    with transaction.atomic(), django_assert_num_queries(1 + 4):
        saved.save(update_fields=["address"])


@pytest.mark.django_db(transaction=False)
def test_the_statements_of_an_unwanted_save(django_assert_num_queries):
    """A new order costs nothing; a later save looks for a failure to clear."""
    with transaction.atomic(), django_assert_num_queries(1):
        order = Order.objects.create(paid=False)
    with transaction.atomic(), django_assert_num_queries(1 + 3):
        order.save()


def test_a_later_save_outside_of_a_transaction_needs_no_savepoint(saved, django_assert_num_queries):
    """There is no transaction to protect."""
    with django_assert_num_queries(1 + 1):
        saved.save()


def test_the_newest_generation_decides(saved):
    """Whether a save has anything to do."""
    first, second = Delivery.objects.get(), Delivery.objects.get()
    second.pk, second.generation, second.external_order_id = None, 2, "order-second"
    second.attention = "adapter_failed"
    second.save()
    known = fast_sql.delivery_keys_of(str(saved.pk), first.content_type_id)
    assert [one.attention for one in known] == ["adapter_failed", ""]
    own = Identity(first.account, first.environment, first.external_order_id)
    assert [booking.is_up_to_date(one, own) for one in known] == [False, True]


def test_a_child_that_is_added_later_inserts_nothing():
    """Django calls its row new, though its parent was booked."""
    order = Order.objects.create()
    child = GiftOrder(order_ptr=order, card="for you")
    child.__dict__.update({name: value for name, value in vars(order).items() if name != "_state"})
    with CaptureQueriesContext(connection) as captured:
        child.save()
    assert Delivery.objects.get().calls.count() == 1
    assert not [query for query in captured if "INTO " in query["sql"] and "kaspi" in query["sql"]]


def test_an_order_with_a_reused_key_is_booked_once(saved):
    """Django calls it new."""
    again = Order(pk=saved.pk, address="Abay 2")
    Order.objects.all().delete()
    again.save(force_insert=True)
    assert Delivery.objects.get().calls.count() == 1


def test_another_models_delivery_with_the_same_key_is_left(saved):
    """Keys are unique in a model."""
    elsewhere = ContentType.objects.get_for_model(GiftOrder)
    Delivery.objects.update(content_type=elsewhere, external_order_id="gift-1")
    saved.save()
    assert Delivery.objects.exclude(content_type=elsewhere).get().attention == ""


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"cancelled": True}, "wants it cancelled"),
        ({"phone": "none"}, "adapter failed: .*phone"),
        ({"address": "broken"}, "adapter failed: TypeError"),
        (None, "gone"),
    ],
)
def test_an_order_that_cannot_be_sent_is_not_booked(adapter_may_fail, values, refusal):
    """Even if staff insist; nothing is written."""
    order = Order.objects.bulk_create([Order(**values or {})])[0]
    if values is None:
        Order.objects.filter(pk=order.pk).delete()
    for attempt in (orders.check_booking, lambda row: orders.book_delivery(row, send_anyway=True)):
        with pytest.raises(CannotBook, match=refusal):
            attempt(order)
    assert not Delivery.objects.exists()


def test_a_cancelled_order_that_was_never_booked_adds_nothing():
    """The adapter wants a cancel, and there is no delivery."""
    Order.objects.create(cancelled=True)
    assert not Delivery.objects.exists()
