"""Every page can be worked with by keyboard alone."""

import pytest

from tests.browser import keyboard, pages
from tests.browser.conftest import LAPTOP, PHONE


def dead_ends(page):
    """Return what Tab does not reach, and where it stops without showing it."""
    there, reached = keyboard.mark_stops(page, pages.PLACE), keyboard.walk(page)
    unseen = [stop.name for stop in reached if stop.name in there and not stop.is_outlined]
    return [*sorted(there - {stop.name for stop in reached}), *unseen]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tab_reaches_everything_and_shows_where_it_is(window, operator, busy, scheme):
    """Each link, field, button and scrolling table is reached, and outlined while it has the focus."""
    page = window(operator, color_scheme=scheme)
    assert pages.find(page, lambda _name: dead_ends(page), names=tuple(pages.OURS)) == {}


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_what_scrolls_can_be_scrolled_by_keyboard(window, operator, busy, size):
    """A table that is wider than its place has the focus itself, or something in it has."""
    page = window(operator, viewport=size)
    assert pages.find(page, lambda _name: page.evaluate(keyboard.OUT_OF_REACH)) == {}
