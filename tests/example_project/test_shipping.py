"""From the shop's orders to Kaspi, and Kaspi's updates back to the customer."""

from types import SimpleNamespace

import pytest
from django.apps import apps as installed
from django.db import connection
from django.utils.module_loading import import_string

from example_project.shop.kaspi import ShopOrderAdapter
from example_project.shop.models import CustomerNotice, Order, Product
from example_project.shop.receivers import tell_customer
from kaspi_delivery_django.models import Delivery, StatusChange
from tests.conftest import NOON

ADD = "/admin/example_shop/order/add/"
FIELDS = {
    "customer_name": "Aigerim Serikova",
    "phone": "8 701 234 56 78",
    "address": "Abay Avenue 52",
    "courier_notes": "Ring twice",
    "paid": "on",
    "lines-INITIAL_FORMS": "0",
    "notices-TOTAL_FORMS": "0",
    "notices-INITIAL_FORMS": "0",
}


@pytest.mark.django_db
def test_the_request_is_made_of_the_order_and_its_lines(make_order):
    """Description, weight and value are those of the lines; name, phone, address and notes the order's."""
    order = make_order(courier_notes="Ring")
    order.lines.create(product=Product.objects.create(name="Honey", price_kzt=6500, weight_grams=1300))
    request = ShopOrderAdapter().build_request(order)
    description = "2 \N{MULTIPLICATION SIGN} Aport apples, 1 \N{MULTIPLICATION SIGN} Honey"
    assert request.parcel.to_json() == {"description": description, "weightGrams": 7300, "valueKzt": 16300}
    assert request.dropoff.to_json() == {
        "address": "Abay Avenue 52",
        "contact": {"name": "Aigerim Serikova", "phone": "+7 701 234 5678"},
        "notes": "Ring",
    }


@pytest.mark.django_db(transaction=True)
def test_an_order_made_in_the_admin_sends_its_lines(admin_client, apples, kaspi, settings):
    """The lines are saved after the order; the payload, sent after the commit, contains them."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    line = {"lines-0-product": apples.pk, "lines-0-quantity": "2", "lines-0-price_kzt": ""}
    answer = admin_client.post(ADD, {**FIELDS, **line, "lines-TOTAL_FORMS": "1"})
    assert answer.status_code == 302
    [record] = kaspi.deliveries_for(f"order-{Order.objects.get().pk}")
    assert record.request["parcel"] == {
        "description": "2 \N{MULTIPLICATION SIGN} Aport apples",
        "weightGrams": 6000,
        "valueKzt": 9800,
    }


@pytest.mark.django_db
def test_an_order_without_lines_is_refused_in_the_admin(admin_client):
    """An empty parcel cannot be shipped."""
    empty = {"lines-0-product": "", "lines-0-quantity": "1", "lines-0-price_kzt": ""}
    answer = admin_client.post(ADD, {**FIELDS, **empty, "lines-TOTAL_FORMS": "1"})
    assert answer.status_code == 200
    assert not Order.objects.exists()


@pytest.mark.django_db
def test_a_customer_is_notified_once(make_order):
    """A signal that is repeated leaves no second notice."""
    delivery = Delivery.objects.get(object_id=str(make_order().pk))
    times = {"at": NOON, "created_at": NOON, "notify_after": NOON}
    change = StatusChange.objects.create(delivery=delivery, to_status="created", source="webhook", **times)
    for _ in range(2):
        tell_customer(delivery=delivery, change=change)
    assert CustomerNotice.objects.get().text == "the customer was told: Created"


@pytest.mark.django_db
def test_an_order_that_was_deleted_has_no_notice(make_order):
    """The receiver returns, so that the signal is not repeated for ever."""
    order = make_order()
    Order.objects.filter(pk=order.pk).delete()
    delivery = Delivery.objects.get()
    change = StatusChange(delivery=delivery, to_status="created")
    tell_customer(delivery=delivery, change=change)
    assert not CustomerNotice.objects.exists()


@pytest.mark.django_db
def test_the_shelf_is_filled_by_a_migration():
    """Four products, each of which can be shipped."""
    Product.objects.all().delete()
    fill = import_string("example_project.shop.migrations.0002_products.fill")
    fill(installed, SimpleNamespace(connection=connection))
    assert all(product.weight_grams > 0 for product in Product.objects.all())
    assert Product.objects.count() == 4
