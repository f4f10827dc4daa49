"""Long words on the pages of a phone and of a laptop: nothing is cut, covered or lost."""

import uuid

import pytest

from kaspi_delivery_django import statuses
from kaspi_delivery_django.models import Delivery, StatusChange
from tests.browser import pages
from tests.browser.conftest import LAPTOP, PHONE

stock = pytest.mark.skipif(bool(pages.THEME), reason="a theme has other menus, and its lists scroll in their place")
LISTS = tuple(name for name in pages.ALL if name.startswith("list of"))
ROWS = tuple(name for name in pages.ALL if name.startswith("one "))
CUT = """() => {
  document.querySelectorAll("details").forEach((folded) => { folded.open = true; });
  const parts = [...document.querySelectorAll(".readonly, .kd-scroll, .kd-button, .closelink, .kd-table td")];
  const isCut = (part) => part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).display !== "inline";
  return parts.filter((part) => isCut(part) || part.getBoundingClientRect().right > innerWidth)
    .map((part) => part.outerHTML);
}"""
SCROLLED = "(place => place.scrollWidth - place.clientWidth)(document.querySelector('#changelist .results'))"


@pytest.fixture
def long_texts(busy):
    """Give the deliveries UUIDs, long names, and the statuses and reasons with the longest words."""
    longest = (statuses.OUT_FOR_DELIVERY, statuses.ACCEPTED, statuses.DELIVERED, statuses.IN_TRANSIT)
    reasons = ("foreign_delivery", "order_edited", "configuration_changed", "contradiction")
    for delivery, status, reason in zip(Delivery.objects.all(), longest, reasons, strict=True):
        key = str(uuid.uuid4())
        delivery.object_id, delivery.external_order_id, delivery.external_key = key, f"order-{key}", key
        delivery.dropoff_name = "Нұрсұлтан Нұрмағамбетов-Қасымжанов"
        delivery.order_label = f"Заказ 2026-{delivery.pk:05}"
        delivery.tracking_url = "https://track.kaspi.kz/1"
        delivery.status, delivery.attention = status, reason
        delivery.save()


@stock
@pytest.mark.parametrize("locale", ["ru-KZ", "kk-KZ"])
def test_everything_fits_a_laptop(window, operator, long_texts, locale):
    """Beside the open navigation and the filters, no column of a list and no part of the order's table is lost."""
    page = window(operator, locale=locale)
    pages.go_to_list(page)
    assert page.locator("#nav-sidebar").is_visible()
    assert page.locator("#changelist-filter").is_visible()
    assert page.locator("#result_list tbody .field-tracking_page a").count() == 4
    assert pages.find(page, lambda _name: max(pages.overflow(page), page.evaluate(SCROLLED)), names=LISTS) == {}
    assert pages.find(page, lambda _name: page.evaluate(CUT), names=["one order"]) == {}


@stock
@pytest.mark.parametrize("locale", ["ru-KZ", "kk-KZ"])
def test_everything_fits_a_phone(window, operator, long_texts, locale):
    """No value, table or button of a row's page is cut, and no list scrolls sideways: each of its rows is a card."""
    page = window(operator, viewport=PHONE, locale=locale)
    assert pages.find(page, lambda _name: page.evaluate(CUT), names=ROWS) == {}
    assert pages.find(page, lambda _name: page.evaluate(SCROLLED), names=LISTS) == {}


@stock
def test_a_row_is_a_card_on_a_phone(window, operator, busy):
    """Each value has its column's name beside it, a picture too."""
    StatusChange.objects.filter(pk=StatusChange.objects.latest("pk").pk).update(applied=False)
    page = window(operator, viewport=PHONE)
    pages.ALL["list of statuschange"](page)
    card = page.locator("#result_list tbody tr").first
    answers = page.locator("#result_list tbody .field-applied")
    assert answers.locator("img[alt=False]").is_visible()
    assert answers.locator("img[alt=True]").first.is_visible()
    assert answers.first.get_attribute("data-kd-column") == "Applied"
    assert card.bounding_box()["height"] > answers.first.bounding_box()["height"] * 2


def test_no_button_covers_the_title(window, operator, long_texts):
    """However long it is, and however many buttons there are."""
    page = window(operator, locale="ru-KZ")
    pages.ALL["one delivery, refused"](page)
    tools = page.locator(".object-tools li, .kd-actions li")
    assert tools.count() > 1
    for viewport in (LAPTOP, {"width": 800, "height": 600}, PHONE):
        page.set_viewport_size(viewport)
        boxes = [tool.bounding_box() for tool in tools.all()]
        for title in page.locator("#content > h1, #content > h2, #content-main ~ h2").all():
            assert not [box for box in boxes if overlap(box, title.bounding_box())]


def overlap(one, other):
    """Return whether two boxes have a point in common."""
    beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
    above = one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
    return not (beside or above)


@stock
def test_an_id_is_copied_whole(window, operator, long_texts):
    """By a button; without the script there is none, and the whole id is the short one's title."""
    whole = Delivery.objects.latest("pk").external_order_id
    page = window(operator)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    pages.go_to_list(page)
    row = page.locator("#result_list tbody tr").first
    assert row.get_by_title(whole).inner_text() != whole
    row.get_by_role("button", name=whole).click()
    row.get_by_role("status").get_by_text("Copied").wait_for(state="attached")
    assert page.evaluate("navigator.clipboard.readText()") == whole
    plain = window(operator, java_script_enabled=False)
    pages.go_to_list(plain)
    assert plain.locator("#result_list button[data-kd-copy]").first.is_hidden()
    assert plain.locator("#result_list tbody tr").first.get_by_title(whole).is_visible()
