"""An operator's morning."""

import pytest

from kaspi_delivery_django.models import Delivery, WebhookEvent
from tests.browser import keyboard, pages, rows
from tests.browser.conftest import PASSWORD


@pytest.fixture
def edited(make_order):
    """Return the delivery of an order that was edited after it was booked."""
    rows.edit(rows.book(make_order))
    return Delivery.objects.get(attention="order_edited")


def choose(page, event_id, action):
    """Tick a row of the list, choose what to do about it, and go."""
    page.get_by_role("row", name=event_id).get_by_role("checkbox").check()
    page.locator("select[name=action]").select_option(label=action)
    pages.press(page.locator(".actions button"))


def test_she_cancels_what_needs_somebody_without_a_mouse(window, operator, edited, kaspi):
    """From the login to the cancelled delivery, by keyboard; Kaspi is asked once."""
    page = window()
    pages.go_to_dashboard(page)
    keyboard.write(page, page.get_by_label("Username"), "operator")
    keyboard.write(page, page.get_by_label("Password"), PASSWORD)
    keyboard.follow(page, page.get_by_role("button", name="Log in"))
    keyboard.follow(page, page.locator(".kd-needs").get_by_role("link", name="edited"))
    keyboard.follow(page, page.get_by_role("link", name=edited.order_label, exact=True))
    keyboard.follow(page, page.get_by_role("link", name="Cancel delivery"))
    keyboard.write(page, page.get_by_label("Reason"), "wrong address")
    keyboard.follow(page, page.get_by_role("button", name="Cancel delivery"))
    assert page.locator(".messagelist").inner_text() == f"{edited}: cancelled."
    assert page.locator(".kd-timeline").locator(".kd-badge", has_text="Cancelled").is_visible()
    assert [request.path.rsplit("/", 1)[1] for request in kaspi.requests].count("cancel") == 1
    edited.refresh_from_db()
    assert (edited.status, edited.cancel_reason) == ("cancelled", "wrong address")


def test_she_empties_the_inbox(window, operator, busy):
    """One dead letter is replayed, another acknowledged; she reads what became of each."""
    page = window(operator)
    pages.go_to_list(WebhookEvent)(page)
    pages.press(page.get_by_role("link", name="Dead letters"))
    choose(page, "wh_failed", "Replay selected events")
    pages.press(page.get_by_role("button", name="Replay"))
    assert page.locator(".messagelist").inner_text() == "delivery.delivered wh_failed: applied."
    choose(page, "wh_parked", "Acknowledge selected events")
    pages.press(page.get_by_role("button", name="Acknowledge"))
    assert page.locator(".messagelist").inner_text() == "delivery.created wh_parked: taken off the list."
    assert not WebhookEvent.objects.filter(state__in=WebhookEvent.DEAD_LETTERS).exists()
