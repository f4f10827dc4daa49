"""Pictures of every page, for people to look at: `pytest tests/browser --screenshots FOLDER`."""

import pytest
from django.utils.text import slugify

from kaspi_delivery_django.tracking import tracking_path
from tests.browser import pages, rows
from tests.browser.conftest import PHONE
from tests.browser.test_tracking import LOOKS as STATES
from tests.browser.test_tracking import SMALL

LOOKS = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE},
    "ru": {"locale": "ru-KZ"},
    "kk": {"locale": "kk-KZ"},
    "phone, ru": {"viewport": PHONE, "locale": "ru-KZ"},
    "phone, kk": {"viewport": PHONE, "locale": "kk-KZ"},
}
NARROW = {"narrow": {"viewport": SMALL}, "narrow, dark": {"viewport": SMALL, "color_scheme": "dark"}}


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_has_its_picture(window, operator, busy, pytestconfig, look):
    """One file for each page, in a folder for each look."""
    folder, page = pytestconfig.getoption("screenshots") / look, window(operator, **LOOKS[look])
    for name, go in pages.ALL.items():
        go(page)
        page.screenshot(path=folder / f"{slugify(name)}.png", full_page=True)


@pytest.mark.parametrize("look", LOOKS | NARROW)
def test_the_customers_pages_have_their_pictures(window, make_order, kaspi, pytestconfig, look):
    """In each state that a delivery can be in; and the shop's own page."""
    folder, page = pytestconfig.getoption("screenshots") / look, window(**(LOOKS | NARROW)[look])
    delivery = rows.book(make_order)
    for name, put in STATES.items():
        put(delivery)
        for kind, address in (("page", tracking_path(delivery)), ("shop", delivery.order.get_absolute_url())):
            page.goto(address)
            page.screenshot(path=folder / f"tracking-{kind}-{name}.png", full_page=True)
