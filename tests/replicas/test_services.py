"""Services under a router that reads from a replica: they lock and write on the database of `db_for_write`."""

from pathlib import Path

import pytest
from django.db import transaction

import kaspi_delivery_django
from kaspi_delivery_django import services
from kaspi_delivery_django.client import UsageError
from kaspi_delivery_django.exceptions import CannotAcknowledge, DeliveryError
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.tracking import delivery_of, track
from tests.conftest import event
from tests.shop.models import Order

PACKAGE = Path(kaspi_delivery_django.__file__).parent

pytestmark = pytest.mark.django_db(transaction=True)


def read(row, replica):
    """Return the row as a program has it that read it from the replica."""
    return type(row)._base_manager.using(replica).get(pk=row.pk)


@pytest.fixture
def bulk(replica):
    """Return an order that was read from the replica, and has no delivery."""
    Order.objects.bulk_create([Order()])
    order = Order.objects.latest("pk")
    assert order._state.db.startswith("replica")
    with pytest.raises(Exception, match=r"(?i)read.?only|read only"):  # else the tests would prove nothing
        Order.objects.using(order._state.db).create()
    return order


def test_our_rows_are_read_and_written_on_one_database(replica, booked, asked):
    """By every manager, and from a row that was read elsewhere; `refresh_from_db` reads no replica that lags."""
    for model in (Delivery, ApiCall, WebhookEvent, StatusChange, AccountState):
        assert {model.objects.all().db, model._base_manager.all().db, model._default_manager.all().db} == {db_alias()}
    delivery = read(booked, replica)
    assert (delivery._state.db, delivery.calls.all().db, delivery.history.all().db) == (db_alias(),) * 3
    assert (delivery.calls.get()._state.db, delivery.calls.get().delivery._state.db) == (db_alias(),) * 2
    Delivery.objects.filter(pk=booked.pk).update(status="accepted")
    asked.clear()
    delivery.refresh_from_db()
    delivery.refresh_from_db(fields=["raw"])
    assert (delivery.status, asked) == ("accepted", [])


@pytest.mark.failure_mode("save: several databases")
def test_an_order_that_was_read_is_booked_once(bulk, kaspi, drain, asked):
    """Saving it again books nothing more, and its customer sees what was written."""
    services.request_delivery(bulk)
    bulk.save(using=db_alias())
    services.request_delivery(bulk)
    drain()
    assert len(kaspi.deliveries_for(f"order-{bulk.pk}")) == 1
    assert track(delivery_of(bulk)).status == "created"
    assert asked.of_our_tables == []


@pytest.mark.parametrize("threads", [1, 4])
def test_a_checkout_is_sent(replica, kaspi, asked, threads):
    """By a worker with and without threads; the adapter gets the row of the written database."""
    orders = [Order.objects.create() for _ in range(3)]
    Worker(log=lambda _line: None, threads=threads).run_until_idle()
    assert [len(kaspi.deliveries_for(f"order-{order.pk}")) for order in orders] == [1, 1, 1]
    assert [sql for sql in asked if 'FROM "shop_order"' in sql.replace("`", '"')] == asked.of_our_tables == []


def test_staff_act_on_rows_that_were_read(replica, booked, kaspi, drain, asked):
    """Refresh, cancel, rebook, link, retry and acknowledge."""
    asked.clear()
    services.refresh_delivery(read(booked, replica))
    drain()
    services.cancel_delivery(read(booked, replica), reason="out of stock")
    drain()
    assert Delivery.objects.get(pk=booked.pk).status == "cancelled"
    kaspi.faults.add(Fault(operation="create", status=422))
    successor = services.reissue_delivery(read(booked, replica))
    services.retry_delivery(read(successor, replica))
    services.link_delivery(read(successor, replica), "dlv_1")
    drain()
    assert set(successor.calls.values_list("kind", flat=True)) == {"create", "link"}
    with pytest.raises(DeliveryError):
        services.retry_delivery(read(successor, replica))
    successor.calls.filter(kind="link").delete()
    services.acknowledge_delivery(read(successor, replica))
    assert Delivery.objects.get(pk=successor.pk).attention == ""
    assert [sql for sql in asked.of_our_tables if "kaspi_delivery_delivery" not in sql] == []


def test_an_order_that_was_read_is_adopted(bulk, drain):
    """With a name that cannot be one it is refused as everywhere."""
    with pytest.raises(UsageError):
        services.adopt_delivery(bulk, "dlv_1", external_order_id="тапсырыс")
    services.adopt_delivery(bulk, "dlv_1")
    assert Delivery.objects.get(object_id=str(bulk.pk)).calls.count() == 2


def test_a_webhook_is_applied(replica, booked, post_webhook, asked):
    """Replayed and acknowledged too, as a row that was read."""
    asked.clear()
    assert post_webhook(event(booked, "accepted")).status_code == 200
    assert Delivery.objects.get(pk=booked.pk).status == "accepted"
    WebhookEvent.objects.update(state="failed")
    stored = read(WebhookEvent.objects.get(), replica)
    assert services.replay_event(stored) in {"applied", "noted"}
    with pytest.raises(CannotAcknowledge):
        services.acknowledge_event(stored)
    parked = event(booked, "accepted", event_id="wh_2")
    parked["data"] |= {"deliveryId": "dlv_else", "externalOrderId": "order-else"}
    post_webhook(parked)
    services.acknowledge_event(read(WebhookEvent.objects.get(event_id="wh_2"), replica))
    assert not WebhookEvent.objects.filter(state="parked").exists()


def test_an_inline_runner_sends_when_the_request_is_over(replica, kaspi, settings):
    """Its transaction is the written database's, not the one of the alias `default`."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    with transaction.atomic(using=db_alias()):
        order = Order.objects.create()
    assert len(kaspi.deliveries_for(f"order-{order.pk}")) == 1


def test_no_module_decides_by_where_a_row_was_read():
    """They name `db_alias()`, or leave it to the manager; `_state.db` is set where a row is made, and read nowhere."""
    known = {"models/fields.py", "services/fast_sql.py", "checks/databases.py"}
    known.add("orders.py")  # it gives a copy of the shop's order the alias of the order itself
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if "_state.db" in path.read_text()}
    assert found <= known
