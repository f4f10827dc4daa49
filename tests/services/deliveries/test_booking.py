"""Saving an order books it once; a failing adapter is flagged and breaks no checkout. No request is sent here."""

from unittest.mock import Mock

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from kaspi_delivery_django.exceptions import NoAdapter
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services import request_delivery
from kaspi_delivery_django.services.deliveries import booking, identities
from kaspi_delivery_django.services.errors import AdapterFailed
from tests.shop.models import GiftOrder, Note, Order, ProxyOrder

pytestmark = pytest.mark.django_db


@pytest.mark.failure_mode("save: many saves")
def test_a_saved_order_gets_one_delivery_and_one_call():
    """Once it is paid, however often it is saved; the payload is built later."""
    order = Order.objects.create(paid=False)
    assert not Delivery.objects.exists()
    order.paid = True
    for _ in range(3):
        order.save()
    delivery, name = Delivery.objects.get(), f"order-{order.pk}"
    assert (delivery.external_order_id, delivery.generation) == (name, 1)
    assert (delivery.status, delivery.delivery_id) == ("", None)
    call = delivery.calls.get()
    assert (call.kind, call.state, call.payload, call.idempotency_key) == ("create", "due", "", name)


@pytest.mark.parametrize("model", [ProxyOrder, GiftOrder])
@pytest.mark.failure_mode("save: proxies and children")
def test_proxies_and_children_count_as_the_model(model):
    """A save through a proxy or a multi-table child books the same order, once."""
    order = model.objects.create()
    Order.objects.get(pk=order.pk).save()
    assert Delivery.objects.get().object_id == str(order.pk)


@pytest.mark.failure_mode("save: no signal")
def test_fixtures_and_bulk_writes_book_nothing():
    """`raw=True`, bulk_create and update() are left to kaspi_enqueue."""
    Order.objects.bulk_create([Order()])
    Order.objects.update(address="elsewhere")
    Order(pk=99).save_base(raw=True)
    assert not Delivery.objects.exists()


def test_a_model_without_an_adapter_is_ignored(django_assert_num_queries):
    """Its save costs no statement; only the service raises."""
    with django_assert_num_queries(1):
        note = Note.objects.create()
    with pytest.raises(NoAdapter, match="ORDER_ADAPTERS"):
        request_delivery(note)


@pytest.mark.failure_mode("save: the adapter raises")
def test_a_failing_adapter_is_flagged_until_a_save_succeeds(use_adapter, caplog):
    """The order is saved, and no phone is logged or stored with the error; the same row is booked later."""
    use_adapter("BrokenAdapter")
    order = Order.objects.create(phone="+7 701 999 8877")
    delivery = Delivery.objects.get()
    assert (delivery.attention, delivery.external_order_id) == (Attention.ADAPTER_FAILED, None)
    assert delivery.calls.get().state == "stuck"
    assert "ValueError" in caplog.text
    assert "999 8877" not in caplog.text + delivery.calls.get().error_message
    use_adapter("OrderAdapter")
    order.save()
    delivery, call = Delivery.objects.get(), ApiCall.objects.get()
    assert (delivery.attention, delivery.external_order_id) == ("", f"order-{order.pk}")
    assert (call.state, call.idempotency_key) == ("due", f"order-{order.pk}")


@pytest.mark.parametrize(
    ("adapter", "error"),
    [("NowhereAdapter", "account must return"), ("UnprintableAdapter", "1 to 128 printable ASCII")],
)
def test_an_invalid_identity_is_flagged(use_adapter, adapter, error):
    """The call's error names what the adapter must return; a request by hand does the same."""
    use_adapter(adapter)
    assert request_delivery(Order.objects.create()).attention == Attention.ADAPTER_FAILED
    assert error in ApiCall.objects.get().error_message


def test_invalid_settings_never_break_a_checkout(settings, caplog):
    """An unknown key is logged, and the order is saved."""
    settings.KASPI_DELIVERY = {"API_KEYS": "typo"}
    order = Order.objects.create()
    assert Order.objects.filter(pk=order.pk).exists()
    assert "order not followed" in caplog.text


def test_a_failed_query_of_the_adapter_is_never_hidden(use_adapter):
    """On PostgreSQL it has broken the shop's transaction, so the save raises."""
    use_adapter("QueryBreaker")
    if connection.vendor == "postgresql":
        with pytest.raises(DatabaseError), transaction.atomic():
            Order.objects.create()
    else:
        Order.objects.create()
        assert Delivery.objects.get().attention == "adapter_failed"


def test_a_flag_finds_the_row_of_a_faster_transaction(monkeypatch):
    """Both transactions insert the flagged delivery at once."""
    order = Order.objects.create()
    monkeypatch.setattr(booking, "_flagged", lambda _delivery: None)
    monkeypatch.setattr(booking, "_insert_flagged", Mock(side_effect=IntegrityError))
    found = booking.flag_adapter_failure(identities.adapter_of(order), order, AdapterFailed("it failed"))
    assert found == Delivery.objects.get()
