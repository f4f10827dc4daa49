"""What a save does: the adapter's answer is about what the database holds, and none of our errors costs a checkout."""

import pytest
from django.db import DatabaseError, connection, models, transaction

from kaspi_delivery_django.exceptions import CannotRetry
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import fast_sql, request_delivery, retry_delivery
from kaspi_delivery_django.services.deliveries import booking, calls, identities, orders
from kaspi_delivery_django.signals import delivery_needs_attention
from tests.shop import adapters
from tests.shop.models import GiftOrder, Note, Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alarms():
    """Collect what staff are asked."""
    heard = []

    def listen(delivery, attention, **_rest):
        heard.append((delivery.pk, attention))

    delivery_needs_attention.connect(listen)
    yield heard
    delivery_needs_attention.disconnect(listen)


@pytest.fixture
def by_address(monkeypatch):
    """Name the orders by their address."""
    monkeypatch.setattr(adapters.OrderAdapter, "external_order_id", lambda _self, order: order.address)


def fail_on(monkeypatch, *words):
    """Let the adapter fail while an order's address has one of these words, as it does on a mistake of a release."""
    wants = adapters.OrderAdapter.wants_delivery

    def fails(self, order):
        if order.address in words:
            raise TypeError
        return wants(self, order)

    monkeypatch.setattr(adapters.OrderAdapter, "wants_delivery", fails)


# What memory holds and the database does not


@pytest.mark.parametrize("name", ["paid", "cancelled"])
def test_what_was_not_written_is_not_counted(name):
    """The instance is changed, and another field is saved."""
    order = Order.objects.create(paid=False)
    setattr(order, name, True)
    order.save(update_fields=["address"])
    assert not Delivery.objects.exists()


def test_a_cancel_that_was_not_written_cancels_nothing():
    """The next save of it does."""
    order = Order.objects.create()
    order.cancelled = True
    order.save(update_fields=["address"])
    assert ApiCall.objects.get().state == "due"
    order.save(update_fields=["cancelled"])
    assert ApiCall.objects.get().state == "abandoned"


def test_what_was_written_meanwhile_counts():
    """The instance is older than the row: a payment came in another process."""
    order = Order.objects.create(paid=False)
    Order.objects.update(paid=True)
    order.save(update_fields=["address"])
    assert Delivery.objects.get().object_id == str(order.pk)


def test_a_deferred_field_is_asked_of_the_row():
    """Django saves such an instance partly."""
    Order.objects.create(paid=False)
    order = Order.objects.only("address").get()
    Order.objects.update(paid=True)
    order.save()
    assert Delivery.objects.exists()


def test_a_partial_save_of_an_order_that_is_gone_books_nothing(monkeypatch):
    """A receiver of the shop's that ran before ours has deleted it."""
    order = Order.objects.create(paid=False)
    save = orders.Save(using="default", is_partial=True)
    Order.objects.all().delete()
    orders.follow_order(identities.adapter_of(order), order, save)
    assert not Delivery.objects.exists()


def test_an_expression_is_not_taken_for_a_value(monkeypatch):
    """The adapter fails on it: the row answers, and staff are not alarmed."""
    monkeypatch.setattr(adapters.OrderAdapter, "wants_delivery", lambda _self, order: order.weight_grams >= 1000)
    order = Order.objects.create(weight_grams=400)
    order.weight_grams = models.F("weight_grams") + 600
    order.save()
    assert Delivery.objects.get().attention == ""


def test_a_text_is_not_taken_for_a_value(monkeypatch):
    """As a form, or an importer, may leave it."""
    monkeypatch.setattr(adapters.OrderAdapter, "wants_delivery", lambda _self, order: order.weight_grams >= 1000)
    Order.objects.create(weight_grams="400")
    assert not Delivery.objects.exists()
    Order.objects.create(weight_grams="1400")
    assert Delivery.objects.get().attention == ""


# The order's name


def test_an_unsent_delivery_follows_its_orders_name(kaspi, drain, by_address, alarms):
    """An order number that comes with a second save."""
    with transaction.atomic():
        order = Order.objects.create(address="KZ-none")
        order.address = "KZ-1"
        order.save(update_fields=["address"])
    drain()
    assert len(kaspi.deliveries_for("KZ-1")) == 1
    assert (Delivery.objects.get().external_order_id, alarms) == ("KZ-1", [])
    assert ApiCall.objects.get().idempotency_key == "KZ-1"


def test_a_sent_delivery_keeps_its_name(kaspi, drain, by_address):
    """Kaspi knows it by that."""
    order = Order.objects.create(address="KZ-1")
    drain()
    order.address = "KZ-2"
    order.save()
    assert Delivery.objects.get().external_order_id == "KZ-1"


def test_a_name_that_another_order_has_until_the_second_save_raises_no_alarm(kaspi, drain, by_address, alarms):
    """The first save's name is the other's, and is corrected before the transaction is over."""
    Order.objects.create(address="KZ-none")
    with transaction.atomic():
        order = Order.objects.create(address="KZ-none")
        assert Delivery.objects.get(object_id=str(order.pk)).attention == "adapter_failed"
        order.address = "KZ-2"
        order.save()
    drain()
    assert len(kaspi.deliveries_for("KZ-2")) == 1
    assert (alarms, Delivery.objects.flagged().count()) == ([], 0)


def test_what_was_built_and_not_sent_is_built_again_under_the_new_name(kaspi, drain, by_address):
    """A worker was stopped between the two."""
    order = Order.objects.create(address="KZ-1")
    ApiCall.objects.update(payload='{"externalOrderId": "KZ-1"}', payload_sha256="1")
    order.address = "KZ-2"
    order.save()
    drain()
    assert len(kaspi.deliveries_for("KZ-2")) == 1


def test_an_alarm_that_still_stands_at_the_commit_is_raised(by_address, alarms):
    """Once."""
    Order.objects.create(address="KZ-none")
    with transaction.atomic():
        Order.objects.create(address="KZ-none")
        assert alarms == []
    assert alarms == [(Delivery.objects.flagged().get().pk, "adapter_failed")]


# What the adapter failed on


def test_a_save_that_answers_no_takes_the_order_off_the_list(monkeypatch):
    """It was never to be shipped; a save that answers yes books it."""
    fail_on(monkeypatch, "broken")
    order = Order.objects.create(address="broken", paid=False)
    assert Delivery.objects.get().attention == "adapter_failed"
    order.address = "Abay 1"
    order.save()
    assert not Delivery.objects.exists()
    order.paid = True
    order.save()
    assert (Delivery.objects.get().attention, ApiCall.objects.get().state) == ("", "due")


def test_retry_books_nothing_that_is_not_wanted(kaspi, drain, monkeypatch):
    """The adapter is asked again, of the row."""
    fail_on(monkeypatch, "broken")
    order = Order.objects.create(address="broken", paid=False)
    Order.objects.update(address="Abay 1")
    retry_delivery(Delivery.objects.get())
    drain()
    assert not kaspi.deliveries
    order.paid, order.address = True, "Abay 1"
    order.save()
    drain()
    assert len(kaspi.deliveries) == 1


def test_a_no_clears_the_flag_of_what_is_under_way(booked, monkeypatch):
    """The delivery goes on: only `wants_cancel` cancels."""
    fail_on(monkeypatch, "broken")
    order = Order.objects.get()
    order.address = "broken"
    order.save()
    assert Delivery.objects.get().attention == "adapter_failed"
    order.address, order.paid = "Abay 1", False
    order.save()
    assert (Delivery.objects.get().attention, Delivery.objects.get().delivery_id) == ("", booked.delivery_id)


def test_a_no_leaves_what_waits_for_another_reason(monkeypatch):
    """It is no answer to that."""
    order = Order.objects.create()
    Delivery.objects.update(attention="too_old")
    order.paid = False
    order.save()
    assert Delivery.objects.get().attention == "too_old"


def test_a_no_that_is_late_clears_nothing_twice(monkeypatch):
    """Another save has answered in the meantime."""
    fail_on(monkeypatch, "broken")
    order = Order.objects.create(address="broken")
    seen = identities.order_ref(identities.adapter_of(order), order, from_row=False)
    Delivery.objects.update(attention="")
    booking.clear_failure(seen)
    assert ApiCall.objects.get().state == "stuck"
    Delivery.objects.all().delete()
    booking.clear_failure(seen)


# Errors of our own


BROKEN = [
    pytest.param(
        (fast_sql, "_DELIVERIES_SQL", "SELECT no_such_column FROM kaspi_delivery_delivery WHERE object_id = %s"),
        id="look",
    ),
    pytest.param((fast_sql, "_insert_sql", lambda *_args, **_kwargs: "INSERT INTO no_such_table"), id="insert"),
    pytest.param((calls, "runners", None), id="a mistake"),
]


@pytest.mark.parametrize("broken", BROKEN)
def test_an_error_of_ours_costs_no_checkout(monkeypatch, caplog, broken):
    """As code that is deployed before its migration: the transaction goes on, and the log names the order."""
    monkeypatch.setattr(*broken)
    with transaction.atomic():
        order = Order.objects.create()
        note = Note.objects.create(text="the checkout goes on")
    assert Order.objects.filter(pk=order.pk).exists()
    assert Note.objects.filter(pk=note.pk).exists()
    assert not Delivery.objects.exists()
    assert f"order not followed: model={Order} pk={order.pk}" in caplog.text


def test_an_error_in_setting_aside_costs_no_checkout(monkeypatch, caplog):
    """That is a statement of ours as well."""
    fail_on(monkeypatch, "broken")

    def broken(*_args, **_kwargs):
        with connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column FROM kaspi_delivery_delivery")

    monkeypatch.setattr(booking.calls, "add_stuck_create", broken)
    with transaction.atomic():
        Order.objects.create(address="broken")
        Note.objects.create()
    assert (Order.objects.count(), Note.objects.count(), Delivery.objects.count()) == (1, 1, 0)
    assert "order not followed" in caplog.text


def test_who_was_faster_is_found(monkeypatch):
    """Another transaction's rows were not there yet when they were looked for."""
    order = Order.objects.create()
    monkeypatch.setattr(fast_sql, "delivery_keys_of", lambda *_args, **_kwargs: ())
    with transaction.atomic():
        order.save()
    order.save()
    assert ApiCall.objects.get().state == "due"


def test_who_was_faster_with_a_request_is_found(monkeypatch):
    """The row that stands is returned."""
    order = Order.objects.create()
    monkeypatch.setattr(booking, "newest_of", lambda *_args: None)
    assert request_delivery(order) == Delivery.objects.get()


def test_a_cancelled_order_that_was_never_booked_has_nothing_to_cancel():
    """The adapter's wish is heard, and there is no delivery."""
    Order.objects.create(cancelled=True)
    assert not Delivery.objects.exists()


def test_outside_of_a_transaction_an_error_of_ours_leaves_no_half_of_it(monkeypatch):
    """Both rows, or none."""

    def broken(*_args, **_kwargs):
        raise DatabaseError

    monkeypatch.setattr(booking.calls, "add_create", broken)
    Order.objects.create()
    assert (Order.objects.count(), Delivery.objects.count()) == (1, 0)


# Another database


@pytest.fixture
def elsewhere(monkeypatch):
    """Say of every save that it went to another database of the project."""
    follow = orders.follow_order

    def follow_there(adapter, order, save):
        follow(adapter, order, orders.Save(using="elsewhere", is_new=save.is_new, is_partial=save.is_partial))

    monkeypatch.setattr(orders, "follow_order", follow_there)
    monkeypatch.setattr(orders, "after_commit", lambda work, *args, **_using: work(*args))


def test_an_order_of_another_database_waits_on_the_list(kaspi, drain, elsewhere):
    """No worker looks there, and it is neither sent from here nor abandoned."""
    order = Order.objects.create()
    order.save()
    drain()
    delivery, call = Delivery.objects.get(), ApiCall.objects.get()
    assert (delivery.attention, delivery.object_id, call.state) == ("adapter_failed", f"elsewhere:{order.pk}", "stuck")
    assert "is in the database 'elsewhere', which no worker reads" in call.error_message
    with pytest.raises(CannotRetry):
        retry_delivery(delivery)
    assert not kaspi.deliveries


def test_an_unwanted_order_of_another_database_is_no_concern(elsewhere):
    """Nothing would be sent anyway."""
    Order.objects.create(paid=False)
    assert not Delivery.objects.exists()


def test_an_adapter_that_fails_on_an_order_of_another_database_is_told_of_both(elsewhere, monkeypatch):
    """A person sees to it."""
    fail_on(monkeypatch, "broken")
    Order.objects.create(address="broken")
    assert Delivery.objects.get().object_id.startswith("elsewhere:")


def test_an_order_of_ours_with_the_same_key_is_another_one(elsewhere, monkeypatch):
    """It is booked as always."""
    order = Order.objects.create()
    monkeypatch.undo()
    order.save()
    assert set(Delivery.objects.values_list("attention", flat=True)) == {"adapter_failed", ""}


def test_a_request_for_an_order_of_another_database_waits_on_the_list():
    """Django would write it back there, and ours has no such order."""
    order = Order(pk=742)
    order._state.db = "elsewhere"
    assert request_delivery(order).attention == "adapter_failed"


def test_the_same_order_read_from_a_replica_is_booked(settings):
    """The routers write it to our database."""
    settings.DATABASE_ROUTERS = ["tests.services.deliveries.test_orders.Replicas"]
    order = Order.objects.create(paid=False)
    order._state.db = "replica"
    assert request_delivery(order).attention == ""


class Replicas:
    """The router of Django's documentation, as far as it writes."""

    def db_for_write(self, model, **hints):
        """Write to the primary."""
        return "default"

    def allow_relation(self, *args, **hints):
        """All databases hold the same rows."""
        return True


def test_a_childs_first_save_may_be_its_orders_second(monkeypatch):
    """Django calls the child's row new; the order was there, and on the list."""
    fail_on(monkeypatch, "broken")
    order = Order.objects.create(address="broken", paid=False)
    values = {field.attname: getattr(order, field.attname) for field in Order._meta.concrete_fields}
    GiftOrder(**{**values, "address": "Abay 1"}, order_ptr_id=order.pk).save()
    assert not Delivery.objects.exists()
