"""What axe-core finds on every page: in light, in dark, and on a phone."""

from importlib.resources import files

import pytest

from tests.browser import pages
from tests.browser.conftest import LAPTOP, PHONE

OPTIONS = {"resultTypes": ["violations"], "preload": False}  # to preload styles, it would break the pages' policy
SERIOUS = {"serious", "critical"}
SHOPS = {"one order": ".kd-table", "list of orders": "#changelist-filter"}  # what is ours on the shop's own pages
DJANGOS = {("label-title-only", "#searchbar")}  # the admin's search field: its label is a picture of a lens


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
        if (rule["id"], *node["target"]) not in DJANGOS
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_no_page_shuts_anybody_out(window, operator, busy, axe, theme, size):
    """No rule that axe calls serious or critical is broken."""
    page = window(operator, color_scheme=theme, viewport=size)
    assert pages.find(page, lambda name: violations(page, axe, SHOPS.get(name, "html"))) == {}
