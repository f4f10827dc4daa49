"""Pictures of every page, for people to look at: `pytest tests/browser --screenshots FOLDER`."""

import pytest
from django.utils.text import slugify

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.tracking import tracking_path
from tests.browser import pages
from tests.browser.conftest import PHONE

LOOKS = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE},
    "phone, ru": {"viewport": PHONE, "locale": "ru-KZ"},
    "kk": {"locale": "kk-KZ"},
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_has_its_picture(window, operator, busy, pytestconfig, look):
    """One file for each page, in a folder for each look."""
    folder, page = pytestconfig.getoption("screenshots") / look, window(operator, **LOOKS[look])
    for name, go in pages.ALL.items():
        go(page)
        page.screenshot(path=folder / f"{slugify(name)}.png", full_page=True)
    page.goto(tracking_path(Delivery.objects.latest("pk")))
    page.screenshot(path=folder / "tracking.png", full_page=True)
