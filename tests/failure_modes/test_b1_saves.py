"""B1: from the saving of an order to the outbox."""

import pytest
from django.core import serializers
from django.db import transaction

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import refresh_delivery, request_delivery
from tests.shop.models import GiftOrder, Note, Order, ProxyOrder

pytestmark = pytest.mark.django_db(transaction=True)


def roll_back():
    """End the transaction around us as a failed checkout does."""
    transaction.set_rollback(True)


def test_b1_a_rollback_removes_the_rows(kaspi, drain):
    """Of the whole transaction."""
    with transaction.atomic():
        Order.objects.create()
        roll_back()
    drain()
    assert not Delivery.objects.exists()
    assert kaspi.requests == []


def test_b1_a_savepoints_rollback_removes_the_rows(kaspi, drain):
    """The rest is committed."""
    with transaction.atomic():
        Note.objects.create()
        with transaction.atomic():
            Order.objects.create()
            roll_back()
    drain()
    assert (Note.objects.count(), Delivery.objects.count(), kaspi.requests) == (1, 0, [])


def test_b1_fifty_saves_make_one_row(kaspi, drain):
    """And one request."""
    order = Order.objects.create()
    for _ in range(50):
        order.save()
    drain()
    assert (Delivery.objects.count(), ApiCall.objects.count(), len(kaspi.requests)) == (1, 1, 1)


def test_b1_eight_threads_make_one_row(kaspi, at_once):
    """The loser's IntegrityError stays inside our savepoint."""
    Order.objects.bulk_create([Order()])
    assert at_once(*[lambda: Order.objects.get().save()] * 8) == [None] * 8
    assert (Delivery.objects.count(), ApiCall.objects.count()) == (1, 1)


def test_b1_fixtures_make_no_row():
    """raw=True."""
    document = serializers.serialize("json", [Order(pk=7)])
    for loaded in serializers.deserialize("json", document):
        loaded.save()
    assert Order.objects.exists()
    assert not Delivery.objects.exists()


def test_b1_bulk_create_and_update_make_no_row():
    """No signal tells us; `kaspi_enqueue` does."""
    Order.objects.bulk_create([Order(paid=False)])
    Order.objects.update(paid=True)
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("kind", [ProxyOrder, GiftOrder])
def test_b1_proxies_and_children_count_as_the_model(kind):
    """One row, of the model."""
    order = kind.objects.create()
    Order.objects.get(pk=order.pk).save()
    assert Delivery.objects.get().object_id == str(order.pk)


def test_b1_rows_live_where_they_are_written():
    """An order that was read elsewhere, from a replica, is booked on the database of `db_for_write`."""
    order = Order.objects.create(paid=False)
    order._state.db = "elsewhere"
    delivery = request_delivery(order)
    assert (delivery._state.db, Delivery.objects.get().object_id) == ("default", str(order.pk))


def test_b1_an_adapter_that_raises_breaks_no_checkout(settings):
    """A person mends it."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": ["tests.shop.adapters.BrokenAdapter"]}
    Order.objects.create()
    assert Delivery.objects.get().attention == "adapter_failed"


def test_b1_an_order_edited_after_it_was_frozen_is_flagged(booked, drain, kaspi):
    """Never silently sent again."""
    before = len(kaspi.deliveries)
    order = Order.objects.get()
    order.address = "Satpaev 22"
    order.save()
    refresh_delivery(booked)
    drain()
    assert Delivery.objects.get().attention == "order_edited"
    assert len(kaspi.deliveries) == before


def test_b1_an_order_deleted_before_it_was_sent_is_abandoned(kaspi, drain):
    """Nothing leaves."""
    Order.objects.create().delete()
    drain()
    assert ApiCall.objects.get().state == "abandoned"
    assert kaspi.requests == []


def test_b1_an_order_deleted_while_its_booking_is_unknown_is_kept(attempt, drain, turnable):
    """Kaspi may have booked it: the same bytes go again, and the parcel is known."""
    attempt(drop="after")
    Order.objects.all().delete()
    turnable.turn(minutes=1)
    drain()
    assert Delivery.objects.get().delivery_id


def test_b1_an_order_deleted_after_it_was_sent_is_kept(booked):
    """The courier is under way all the same."""
    Order.objects.all().delete()
    assert Delivery.objects.get().delivery_id == booked.delivery_id
