"""The pages on a phone."""

from tests.browser import pages
from tests.browser.conftest import PHONE


def test_no_page_is_wider_than_a_phone(window, operator, busy):
    """Wide tables scroll in their own place; the page does not."""
    page = window(operator, viewport=PHONE)
    assert pages.find(page, lambda _name: pages.overflow(page)) == {}
