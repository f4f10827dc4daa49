"""The labels of what leaves today, as they are printed."""

import re

import pytest

from kaspi_delivery_django.models import Delivery
from tests.browser import pages, rows

PARCELS = 12
LONG = "The gate is behind the pharmacy; ring 47 and wait. " * 4
PRINTED = """
() => Array.from(document.querySelectorAll("body, h1, li, li p, a, .kd-code path"), (element) => {
  const style = getComputedStyle(element);
  return style.display === "none" ? "" : element.matches("path") ? style.stroke : style.color;
})
"""


@pytest.fixture
def parcels(make_order):
    """Book parcels, one of them with long notes."""
    for _ in range(PARCELS):
        rows.book(make_order)
    Delivery.objects.filter(pk=Delivery.objects.latest("pk").pk).update(dropoff_notes=LONG)


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}], ids=["light", "dark"])
def test_they_are_black_on_white(window, operator, parcels, look):
    """Whatever the theme; and nothing of the admin is printed."""
    page = window(operator, **look)
    pages.go_to_labels(page)
    page.emulate_media(media="print", **look)
    assert set(page.evaluate(PRINTED)) - {""} == {"rgb(0, 0, 0)", "rgb(0, 69, 143)"}
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("header").is_visible()


def test_no_label_is_split_by_the_end_of_a_page(window, operator, parcels):
    """Each is one piece, and two stand side by side on A4."""
    page = window(operator, viewport={"width": 718, "height": 1047})  # what A4 has within its margins
    pages.go_to_labels(page)
    page.emulate_media(media="print")
    places = page.evaluate("Array.from(document.querySelectorAll('li'), (one) => getComputedStyle(one).display)")
    assert places == ["inline-block"] * PARCELS
    assert page.locator("li").nth(0).bounding_box()["y"] == page.locator("li").nth(1).bounding_box()["y"]
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True))) == 2


def test_a_button_prints_them(window, operator, parcels):
    """One click from the list, one more to the printer."""
    page = window(operator)
    page.add_init_script("window.print = () => { document.title = 'printed'; }")
    pages.go_to_list(Delivery)(page)
    pages.press(page.get_by_role("link", name="What leaves today"))
    page.get_by_role("button", name="Print").click()
    assert page.title() == "printed"


def test_the_chosen_ones_are_printed_without_a_question(window, operator, parcels):
    """The answer to the action is the page itself."""
    page = window(operator)
    pages.go_to_list(Delivery)(page)
    page.locator(".action-select").nth(0).check()
    page.locator("select[name=action]").select_option("print_labels")
    pages.press(page.locator(".actions button"))
    assert page.locator("li h2").all_text_contents() == [Delivery.objects.latest("pk").order_label]
    assert page.locator("li .kd-notes").inner_text().startswith("The gate")
