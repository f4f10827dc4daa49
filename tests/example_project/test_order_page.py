"""The order's page, with the timeline of its parcel."""

import uuid

import pytest

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.tracking import tracking_path

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>"


def read(client, order):
    """Return an order page's text."""
    return client.get(order.get_absolute_url()).text


def test_only_the_token_opens_the_page(client, make_order):
    """Neither the number nor another token leads to an order; no cache keeps the page."""
    order = make_order()
    response = client.get(order.get_absolute_url())
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert client.get(f"/example/orders/{order.pk}/").status_code == 404
    assert client.get(f"/example/orders/{uuid.uuid4()}/").status_code == 404


def test_a_paid_order_shows_the_packages_timeline(client, make_order):
    """With the script that keeps it up to date, and Kaspi's id."""
    order = make_order()
    page = read(client, order)
    assert f'data-kaspi-source="{tracking_path(Delivery.objects.get())}"' in page
    assert page.count('data-kaspi-step="') == 5
    assert 'src="/static/kaspi_delivery/tracking.js"' in page
    Delivery.objects.update(delivery_id="dlv_1", status="created")
    assert "Kaspi delivery dlv_1" in read(client, order)


@pytest.mark.parametrize(("paid", "text"), [(True, "Cancelled"), (False, "The order is cancelled")])
def test_a_cancelled_order_that_was_never_sent_is_cancelled(client, make_order, paid, text):
    """The customer need not wait for Kaspi, nor for a payment."""
    order = make_order(paid=paid)
    assert ("Waiting for the payment" in read(client, order)) is not paid
    order.cancelled = True
    order.save()
    page = read(client, order)
    assert text in page
    assert "data-kaspi-source" not in page
    assert "Waiting" not in page


def test_hostile_text_is_escaped(client, make_order):
    """Neither a customer nor Kaspi can put a script onto the page."""
    order = make_order(customer_name=HOSTILE, address=HOSTILE, courier_notes=HOSTILE)
    Delivery.objects.update(status=HOSTILE, delivery_id=f'"{HOSTILE}')
    page = read(client, order)
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 6


def test_orders_add_up(make_order):
    """An order's sum is that of its lines."""
    assert make_order().total_kzt == 9800
