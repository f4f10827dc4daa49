"""What docs/switching-over.md says of a table full of orders, of orders that are split, and of going back."""

from collections import Counter
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.models import Delivery
from tests.conftest import NOON
from tests.shop.models import Order, Shipment

pytestmark = pytest.mark.django_db(transaction=True)

FIRST_SALE = datetime(2021, 3, 1, tzinfo=UTC)


def enqueue(*options):
    """Run the command; return the line that it writes."""
    out = StringIO()
    call_command("kaspi_enqueue", *options, stdout=out)
    return out.getvalue().strip()


def test_nothing_old_is_booked(configure):
    """Neither when an old order is saved nor by the sweep."""
    configure(ORDER_ADAPTERS=["tests.shop.switching.ShopOrderAdapter"])
    [old] = Order.objects.bulk_create([Order(created_at=FIRST_SALE)])
    old.save()
    assert (enqueue(), Delivery.objects.exists()) == ("nothing to do", False)


def test_the_sweep_holds_no_table_in_memory(configure):
    """Its queries are limited to a batch, however many orders there are."""
    configure(ORDER_ADAPTERS=["tests.shop.switching.ShopOrderAdapter"])
    Order.objects.bulk_create([Order(created_at=NOON, cancelled=True) for _ in range(9)])
    with CaptureQueriesContext(connection) as asked:
        enqueue("--dry-run", "--batch", "3")
    limits = Counter(query["sql"].partition(" LIMIT ")[2] for query in asked if "shop_order" in query["sql"])
    assert limits == {"3": 4, "1": 9}


def test_without_its_adapter_the_app_only_watches(kaspi, drain, deliver_webhooks, configure):
    """Switched off, it books nothing, and what is on the road is followed to its end."""
    Order.objects.create()
    drain()
    configure(ORDER_ADAPTERS=[])
    Order.objects.create()
    [booked] = kaspi.deliveries.values()
    kaspi.move(booked.delivery_id, "accepted")
    deliver_webhooks()
    assert Delivery.objects.get().status == "accepted"


def test_each_parcel_of_a_new_split_order_is_a_delivery(configure, kaspi, drain):
    """Their keys are UUIDs, the order's own saves book nothing, and the parcels of an old order stay."""
    configure(ORDER_ADAPTERS=["tests.shop.switching.ShipmentAdapter"])
    [old] = Order.objects.bulk_create([Order(created_at=FIRST_SALE)])
    Shipment.objects.create(order=old).save()
    Shipment.objects.bulk_create([Shipment(order=old)])
    assert enqueue() == "nothing to do"
    order = Order.objects.create(created_at=NOON)
    parcels = [Shipment.objects.create(order=order) for _ in range(2)]
    drain()
    names = {record.external_order_id for record in kaspi.deliveries.values()}
    assert names == {f"shipment-{parcel.pk}" for parcel in parcels}
