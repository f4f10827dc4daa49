"""What axe-core finds on every page: in light, in dark, and on a phone.

Under a theme the page is what we put into it: the theme's own menus break rules that are not ours to keep.
"""

from importlib.resources import files

import pytest

from tests.browser import pages
from tests.browser.conftest import LOOKS

OPTIONS = {"resultTypes": ["violations"], "preload": False}  # to preload styles, it would break the pages' policy
SERIOUS = {"serious", "critical"}
NOT_OURS = {("label-title-only", "#searchbar"), ("label", "#searchbar")}  # the search field: a picture is its label


@pytest.fixture(scope="module")
def axe():
    """Return axe-core's source."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text()


def violations(page, axe, part):
    """Run every rule on that part of the page; return what is serious, one line for each element."""
    page.evaluate(axe)  # by the debugger's door: the page's policy stays as strict as it is
    found = page.evaluate("([part, options]) => axe.run(part, options)", [part, OPTIONS])["violations"]
    return [
        f"{rule['id']}: {node['html']} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
        if (rule["id"], *node["target"]) not in NOT_OURS
    ]


@pytest.mark.parametrize("look", LOOKS)
def test_no_page_shuts_anybody_out(window, operator, busy, axe, look):
    """No rule that axe calls serious or critical is broken."""
    page = window(operator, **LOOKS[look])
    assert pages.find(page, lambda name: violations(page, axe, pages.PLACE_OF.get(name, pages.PLACE))) == {}
