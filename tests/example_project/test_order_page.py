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
    """Neither the number nor another token leads to an order."""
    order = make_order()
    assert client.get(order.get_absolute_url()).status_code == 200
    assert client.get(f"/example/orders/{order.pk}/").status_code == 404
    assert client.get(f"/example/orders/{uuid.uuid4()}/").status_code == 404


def test_the_page_is_never_cached(client, make_order):
    """It holds an address, and news."""
    assert "no-store" in client.get(make_order().get_absolute_url())["Cache-Control"]


def test_an_unpaid_order_waits_for_its_payment(client, make_order):
    """Nothing is booked for it."""
    assert "Waiting for the payment" in read(client, make_order(paid=False))


def test_a_paid_order_shows_the_packages_timeline(client, make_order):
    """And the script that keeps it up to date."""
    order = make_order()
    page = read(client, order)
    assert f'data-kaspi-source="{tracking_path(Delivery.objects.get())}"' in page
    assert page.count('data-kaspi-step="') == 5
    assert 'src="/static/kaspi_delivery/tracking.js"' in page


def test_the_page_names_kaspis_delivery(client, make_order):
    """The shop shows what the timeline alone does not."""
    order = make_order()
    Delivery.objects.update(delivery_id="dlv_1", status="created")
    page = read(client, order)
    assert 'data-delivery="dlv_1"' in page
    assert "Kaspi delivery dlv_1" in page


@pytest.mark.parametrize("paid", [True, False])
def test_a_cancelled_order_that_was_never_sent_is_cancelled(client, make_order, paid):
    """The customer need not wait for a word from Kaspi, nor for one about a payment."""
    order = make_order(paid=paid)
    order.cancelled = True
    order.save()
    page = read(client, order)
    assert ("Cancelled" if paid else "The order is cancelled") in page
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
