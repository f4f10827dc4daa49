"""The shop's own pages of orders, with what they take from us."""

import pytest
from django.urls import reverse

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
    """The button asks for the reason, and leads back; then the order offers another courier instead."""
    order = ordered.url
    pages.press(deliveries(ordered).get_by_role("link", name="Cancel delivery"))
    ordered.get_by_label("Reason").fill("out of stock")
    pages.press(ordered.get_by_role("button", name="Cancel delivery"))
    assert Delivery.objects.get().status == "cancelled"
    assert ordered.url == order
    assert deliveries(ordered).locator(".kd-badge", has_text="Cancelled").is_visible()
    assert deliveries(ordered).get_by_role("link", name="Cancel delivery").count() == 0
    pages.press(deliveries(ordered).get_by_role("link", name="Book a courier again"))
    ordered.get_by_label("Type the delivery's number").fill(str(Delivery.objects.get()))
    pages.press(ordered.get_by_role("button", name="Rebook"))
    assert ordered.url == order
    assert deliveries(ordered).locator(".kd-badge", has_text="Created").is_visible()


def test_a_courier_is_booked_from_an_order_that_is_not_paid(window, operator, make_order, apples):
    """The shop does not want it sent, so that is ticked; the order then shows the delivery."""
    order = make_order(paid=False)
    page = window(operator)
    page.goto(reverse("admin:example_shop_order_change", args=[order.pk]))
    pages.press(page.get_by_role("link", name="Book a courier"))
    page.get_by_label(f"{order}: the shop's adapter does not want it sent").check()
    pages.press(page.get_by_role("button", name="Book a courier"))
    assert page.get_by_text(f"a courier is booked: order-{order.pk}").is_visible()
    assert deliveries(page).locator(".kd-badge", has_text="Created").is_visible()


def test_orders_are_cancelled_in_their_list(window, operator, make_order):
    """The question names their deliveries, and leads back to the list, whose column then says so."""
    for _ in range(2):
        rows.book(make_order)
    page = window(operator)
    pages.go_to_orders(page)
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("kaspi_cancel")
    pages.press(page.locator(".actions button[name=index]"))
    page.get_by_label("Reason").fill("out of stock")
    pages.press(page.locator(".submit-row input[type=submit]"))
    assert page.locator("#result_list .kd-badge", has_text="Cancelled").count() == 2


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
    assert page.locator("#result_list tbody th").all_inner_texts() == [str(edited.order)]
