"""What an operator sees of a delivery before she scrolls."""

import json

import pytest

from kaspi_delivery_django.sandbox.faults import Fault
from tests.browser import pages, rows
from tests.browser.conftest import LAPTOP, PHONE

WORDS = "Телефон получателя не обслуживается: нужны +7 и ещё десять цифр, например +7 701 234 5678"
REFUSAL = json.dumps({"code": "invalid_phone", "message": WORDS}).encode()
PARTS = ("h1", ".kd-problem h2", ".kd-problem dd >> nth=0", ".kd-words", ".kd-actions li >> nth=-1")
COVERED = """() => {
  const parts = document.querySelectorAll("#content h1, #content h2:not(.kd-unseen), .kd-actions a, .object-tools a");
  return [...parts].filter((one) => {
    const {left, top, width, height} = one.getBoundingClientRect();
    if (top + height > innerHeight) return false;
    const seen = document.elementFromPoint(left + Math.min(width, 40) / 2, top + height / 2);
    return !one.contains(seen) && !seen?.contains(one);
  }).map((one) => one.outerHTML);
}"""


@pytest.fixture
def refused(kaspi, make_order):
    """Return a delivery that Kaspi refused in a long sentence."""
    kaspi.faults.add(Fault(operation="create", status=422, body=REFUSAL))
    return rows.book(make_order)


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_what_is_wrong_and_what_to_do_is_seen_at_once(window, operator, refused, size):
    """The problem, the advice, Kaspi's words and every button stand above the fold, and none covers another."""
    page = window(operator, locale="ru-KZ", viewport=size)
    pages.ALL["one delivery"](page)
    boxes = {part: page.locator(part).bounding_box() for part in PARTS}
    assert [part for part, box in boxes.items() if box["y"] + box["height"] > size["height"]] == []
    assert WORDS in page.locator(".kd-words").inner_text()
    assert page.evaluate(COVERED) == []
    assert pages.overflow(page) == 0
