"""The order's page, with the timeline of its parcel."""

import uuid

import pytest

from kaspi_delivery_django.models import Delivery, StatusChange
from tests.conftest import NOON

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>"


def mirror(order, *changes, **fields):
    """Give the order's delivery these fields, and a history of (status, applied) changes."""
    Delivery.objects.filter(object_id=str(order.pk)).update(**fields)
    delivery = Delivery.objects.get(object_id=str(order.pk))
    for status, applied in changes:
        StatusChange.objects.create(
            delivery=delivery,
            to_status=status,
            at=NOON,
            created_at=NOON,
            notify_after=NOON,
            source="webhook",
            applied=applied,
        )
    return delivery


def read(client, order, part=""):
    """Return an order page's text."""
    return client.get(order.get_absolute_url() + part).content.decode()


def test_only_the_token_opens_the_page(client, make_order):
    """Neither the number nor another token leads to an order."""
    order = make_order()
    assert client.get(order.get_absolute_url()).status_code == 200
    assert client.get(f"/example/orders/{order.pk}/").status_code == 404
    assert client.get(f"/example/orders/{uuid.uuid4()}/").status_code == 404


def test_the_page_is_never_cached(client, make_order):
    """It holds an address, and news."""
    assert "no-store" in client.get(make_order().get_absolute_url())["Cache-Control"]


def test_before_the_booking_a_courier_is_looked_for(client, make_order):
    """All the steps are still to come."""
    page = read(client, make_order())
    assert "Looking for a courier" in page
    assert page.count('class="ahead"') == 5


def test_an_unpaid_order_waits_for_its_payment(client, make_order):
    """Nothing is booked for it."""
    assert "Waiting for the payment" in read(client, make_order(paid=False))


def test_the_timeline_shows_what_was_and_what_comes(client, make_order):
    """Past steps carry a time, the others are still to come, and the page looks again."""
    order = make_order()
    mirror(order, ("created", True), ("accepted", True), status="accepted", delivery_id="dlv_1")
    page = read(client, order)
    assert page.count("<time") == 2
    assert page.count('class="ahead"') == 3
    assert 'data-open="yes"' in page
    assert "dlv_1" in page


def test_steps_of_one_second_stand_in_the_usual_order(client, make_order):
    """Kaspi's stamps are whole seconds: the route decides."""
    order = make_order()
    mirror(order, ("in_transit", True), ("accepted", False), status="in_transit")
    page = read(client, order)
    assert page.rindex('"accepted"') < page.rindex('"in_transit"')


def test_late_news_is_marked(client, make_order):
    """A step that was reported after a later one says so."""
    order = make_order()
    mirror(order, ("in_transit", True), ("accepted", False), status="in_transit")
    assert read(client, order).count("reported late") == 1


@pytest.mark.parametrize("status", ["delivered", "cancelled"])
def test_at_the_end_the_page_stops_looking(client, make_order, status):
    """There is nothing more to come."""
    order = make_order()
    mirror(order, (status, True), status=status)
    page = read(client, order)
    assert 'data-open="no"' in page
    assert 'class="ahead"' not in page


def test_a_cancelled_order_that_was_never_sent_is_cancelled(client, make_order):
    """The customer need not wait for a word from Kaspi."""
    order = make_order()
    order.cancelled = True
    order.save()
    page = read(client, order)
    assert "Cancelled" in page
    assert 'data-open="no"' in page


def test_a_cancel_under_way_is_shown(client, make_order):
    """Until Kaspi confirms it."""
    order = make_order()
    mirror(order, status="accepted", cancel_requested_at=NOON)
    assert "Being cancelled" in read(client, order)


def test_a_delivery_that_needs_a_person_says_so(client, make_order):
    """In words that worry nobody."""
    order = make_order()
    mirror(order, attention="refused")
    assert "Our staff is looking into it" in read(client, order)


def test_hostile_text_is_escaped(client, make_order):
    """Neither a customer nor Kaspi can put a script onto the page."""
    order = make_order(customer_name=HOSTILE, address=HOSTILE, courier_notes=HOSTILE)
    mirror(order, (HOSTILE, True), status=HOSTILE, delivery_id=f'"{HOSTILE}')
    page = read(client, order) + read(client, order, "tracking/")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize(
    ("url", "linked"),
    [
        ("https://track.kaspi.kz/dlv_1", True),
        ("http://track.kaspi.kz/dlv_1", False),
        ("https://track.kaspi.kz.example.com/dlv_1", False),
        ("https://user@track.kaspi.kz/dlv_1", False),
        ("javascript:alert(1)//track.kaspi.kz", False),
        ("https://[track.kaspi.kz/dlv_1", False),
        ("", False),
    ],
)
def test_only_kaspis_own_tracking_page_is_linked(client, make_order, url, linked):
    """An address is linked when it is https on Kaspi's host, and then without a referrer."""
    order = make_order()
    mirror(order, status="accepted", delivery_id="dlv_1", tracking_url=url)
    page = read(client, order)
    assert ("follow it at Kaspi" in page) is linked
    assert ('rel="noopener noreferrer"' in page) is linked


def test_the_fragment_is_the_timeline_alone(client, make_order):
    """The script swaps in what the page itself contains."""
    order = make_order()
    mirror(order, ("created", True), status="created")
    fragment = read(client, order, "tracking/")
    assert "<html" not in fragment
    assert fragment.strip() in read(client, order)


def test_orders_add_up(make_order):
    """An order's sum is that of its lines."""
    assert make_order().total_kzt == 9800
