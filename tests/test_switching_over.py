"""A shop that has sold for five years starts to ship with Kaspi: nothing old goes out, all that is new does."""

import csv
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import adopt_delivery
from tests.conftest import NOON
from tests.sandbox.conftest import REQUEST
from tests.shop.models import Order, Shipment

pytestmark = pytest.mark.django_db(transaction=True)

FIRST_SALE = datetime(2021, 3, 1, tzinfo=UTC)
OLD, NEW = 20, 3


@pytest.fixture(autouse=True)
def switched(settings):
    """Install the adapter that leaves out what is old."""
    adapters = ["tests.shop.switching.ShopOrderAdapter"]
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": adapters}


def sell(count, *, since=FIRST_SALE, **columns):
    """Fill the table with paid orders, some hours apart, as they were before the app came."""
    rows = (Order(created_at=since + timedelta(hours=8 * number), **columns) for number in range(count))
    return Order.objects.bulk_create(rows, batch_size=500)


def enqueue(*options):
    """Run the command; return the line that it writes."""
    out = StringIO()
    call_command("kaspi_enqueue", *options, stdout=out)
    return out.getvalue().strip()


def test_saving_old_orders_books_nothing(admin_client):
    """Whatever maintenance goes over the table, and on the shop's own admin page."""
    sell(OLD)
    for order in Order.objects.all():
        order.save()
    form = {"paid": "on", "address": "Abay 2", "phone": "+7 7"}
    answer = admin_client.post(f"/admin/shop/order/{order.pk}/change/", form)
    order.refresh_from_db()
    assert (answer.status_code, order.address) == (302, "Abay 2")
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("fields", [None, ["paid"], ["address"]])
def test_a_new_order_is_booked_however_it_is_saved(fields):
    """With all of its columns, or with some."""
    [order] = sell(1, since=NOON)
    order.save(update_fields=fields)
    assert Delivery.objects.get().external_order_id == f"order-{order.pk}"


def test_the_sweep_books_the_new_ones_alone(kaspi, drain):
    """First it counts, then it books, and then there is nothing left to book."""
    sell(OLD)
    made = sell(NEW, since=NOON)
    assert enqueue("--dry-run") == f"dry run: seen: {NEW}, booked: {NEW}"
    assert not Delivery.objects.exists()
    assert enqueue() == f"seen: {NEW}, booked: {NEW}"
    assert enqueue() == f"seen: {NEW}"
    drain()
    names = {record.external_order_id for record in kaspi.deliveries.values()}
    assert names == {f"order-{order.pk}" for order in made}


def test_the_sweep_holds_no_table_in_memory():
    """Its queries are limited to a batch, however many orders there are."""
    sell(9, since=NOON, cancelled=True)
    with CaptureQueriesContext(connection) as asked:
        enqueue("--dry-run", "--batch", "3")
    limits = Counter(query["sql"].partition(" LIMIT ")[2] for query in asked if "shop_order" in query["sql"])
    assert limits == {"3": 4, "1": 9}


def test_without_its_adapter_the_app_only_watches(kaspi, drain, deliver_webhooks, settings):
    """Switched off, it books nothing, and what is on the road is followed to its end."""
    Order.objects.create(created_at=NOON)
    drain()
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": []}
    Order.objects.create(created_at=NOON)
    [booked] = kaspi.deliveries.values()
    kaspi.move(booked.delivery_id, "accepted")
    deliver_webhooks()
    assert Delivery.objects.get().status == "accepted"


def test_each_parcel_of_a_new_split_order_is_a_delivery(settings, kaspi, drain):
    """Their keys are UUIDs, the order's own saves book nothing, and the parcels of an old order stay."""
    adapters = ["tests.shop.switching.ShipmentAdapter"]
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": adapters}
    [old] = sell(1)
    Shipment.objects.create(order=old).save()
    Shipment.objects.bulk_create([Shipment(order=old)])
    assert enqueue() == "nothing to do"
    order = Order.objects.create(created_at=NOON)
    parcels = [Shipment.objects.create(order=order) for _ in range(2)]
    drain()
    names = {record.external_order_id for record in kaspi.deliveries.values()}
    assert names == {f"shipment-{parcel.pk}" for parcel in parcels}


@pytest.fixture
def booked_by_hand(kaspi, settings):
    """Book three orders as the shop's own code did; return its list of them, as a file."""
    headers = {"x-api-key": settings.KASPI_DELIVERY["API_KEY"], "Content-Type": "application/json"}
    rows = StringIO()
    for order in sell(NEW, since=NOON):
        name = f"KZ-{1000 + order.pk}"
        body = json.dumps({**REQUEST, "externalOrderId": name}).encode()
        answer = kaspi.handle("POST", "/v1/deliveries", {**headers, "Idempotency-Key": f"own-{order.pk}"}, body)
        csv.writer(rows).writerow([order.pk, json.loads(answer.body)["deliveryId"], name])
    rows.seek(0)
    return rows


def adopt(rows):
    for order_id, delivery_id, external_order_id in csv.reader(rows):
        order = Order.objects.get(pk=order_id)
        adopt_delivery(order, delivery_id, external_order_id=external_order_id)


def test_what_was_booked_by_hand_is_followed(booked_by_hand, kaspi, drain, deliver_webhooks):
    """Under its old name; neither a save nor the sweep books it again, and the list may be adopted twice."""
    adopt(booked_by_hand)
    for order in Order.objects.all():
        order.save()
    enqueue()
    drain()
    booked_by_hand.seek(0)
    adopt(booked_by_hand)
    drain()
    assert set(ApiCall.objects.filter(kind="create").values_list("state", "attempts")) == {("done", 0)}
    assert Delivery.objects.filter(delivery_id__in=kaspi.deliveries).count() == len(kaspi.deliveries) == NEW
    for delivery_id in kaspi.deliveries:
        kaspi.move(delivery_id, "accepted")
    deliver_webhooks()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"accepted"}
