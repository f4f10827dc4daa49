"""The shop's own pages of orders, with what they take from us."""

import pytest

from kaspi_delivery_django.models import Delivery
from tests.browser import pages, rows


@pytest.fixture
def ordered(window, operator, make_order):
    """Open the page of an order whose courier is booked."""
    rows.book(make_order)
    page = window(operator)
    pages.go_to_order(page)
    return page


def deliveries(page):
    """Return the table of the order's deliveries."""
    return page.locator(".kd-table")


def test_the_order_shows_how_its_delivery_stands(ordered):
    """The status is there, and the way to the timeline."""
    assert deliveries(ordered).get_by_text("Created").is_visible()
    pages.press(deliveries(ordered).get_by_role("link", name="Timeline"))
    delivery = Delivery.objects.get()
    assert ordered.url.endswith(f"/kaspi_delivery/delivery/{delivery.pk}/change/")
    assert ordered.locator(".kd-timeline").locator(".kd-badge", has_text="Created").is_visible()


def test_a_delivery_is_cancelled_from_the_order(ordered):
    """The button asks for the reason; afterwards the order offers it no more."""
    order = ordered.url
    pages.press(deliveries(ordered).get_by_role("link", name="Cancel delivery"))
    ordered.get_by_label("Reason").fill("out of stock")
    pages.press(ordered.get_by_role("button", name="Cancel delivery"))
    assert Delivery.objects.get().status == "cancelled"
    ordered.goto(order)
    assert deliveries(ordered).locator(".kd-badge", has_text="Cancelled").is_visible()
    assert deliveries(ordered).get_by_role("link", name="Cancel delivery").count() == 0


def test_an_order_is_saved_with_the_table_on_its_page(ordered):
    """What is only shown stands in nobody's way."""
    ordered.get_by_label("Notes for the courier").fill("Ring twice")
    pages.press(ordered.get_by_role("button", name="Save", exact=True))
    assert Delivery.objects.get().order.courier_notes == "Ring twice"


def test_the_list_finds_the_orders_that_need_somebody(window, operator, make_order):
    """One of two orders was edited after it was booked."""
    rows.book(make_order)
    edited = rows.book(make_order)
    rows.edit(edited)
    page = window(operator)
    pages.go_to_orders(page)
    assert page.locator("#result_list tbody tr").count() == 2
    pages.press(page.get_by_role("link", name="Delivery needs attention"))
    assert page.locator("#result_list tbody th").all_inner_texts() == [f"Order {edited.object_id}"]
