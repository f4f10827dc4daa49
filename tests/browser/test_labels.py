"""The labels of what leaves today, as they are printed."""

import re

import pytest

from kaspi_delivery_django.models import Delivery
from tests.browser import pages, rows

PARCELS = 12
LONG = "The gate is behind the pharmacy; ring 47 and wait. " * 4
A4 = {"width": 718, "height": 1047}  # what A4 has within its margins
PRINTED = """
() => Array.from(document.querySelectorAll("body, h1, li, li p, a, .kd-code path"), (element) => {
  const style = getComputedStyle(element);
  return style.display === "none" ? "" : element.matches("path") ? style.stroke : style.color;
})
"""
PLACES = "Array.from(document.querySelectorAll('li'), (one) => getComputedStyle(one).display)"


@pytest.fixture
def labels(window, operator, make_order):
    """Open the labels of twelve parcels, one of them with long notes."""
    for _ in range(PARCELS):
        rows.book(make_order)
    Delivery.objects.filter(pk=Delivery.objects.latest("pk").pk).update(dropoff_notes=LONG)
    page = window(operator, viewport=A4)
    pages.ALL["labels"](page)
    return page


def test_they_are_black_on_white(labels):
    """Whatever the theme; and nothing of the admin is printed."""
    for scheme in ("light", "dark"):
        labels.emulate_media(media="print", color_scheme=scheme)
        assert set(labels.evaluate(PRINTED)) - {""} == {"rgb(0, 0, 0)", "rgb(0, 69, 143)"}
        assert labels.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not labels.locator("header").is_visible()


def test_no_label_is_split_by_the_end_of_a_page(labels):
    """Each is one piece, and two stand side by side on A4."""
    labels.emulate_media(media="print")
    assert labels.evaluate(PLACES) == ["inline-block"] * PARCELS
    assert labels.locator("li").nth(0).bounding_box()["y"] == labels.locator("li").nth(1).bounding_box()["y"]
    assert len(re.findall(rb"/Type\s*/Page\b", labels.pdf(prefer_css_page_size=True))) == 2
