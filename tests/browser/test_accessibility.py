"""Every page can be read, and worked with by keyboard, on a laptop and on a phone, in light and in dark."""

from importlib.resources import files

import pytest

from tests.browser import keyboard, pages
from tests.browser.conftest import LAPTOP, PHONE

OPTIONS = {"resultTypes": ["violations"], "preload": False}  # to preload styles, it would break the pages' policy
SERIOUS = {"serious", "critical"}
NOT_OURS = {("label-title-only", "#searchbar"), ("label", "#searchbar")}  # the search field: a picture is its label
LOOKS = {
    "laptop, dark": {"viewport": LAPTOP, "color_scheme": "dark"},
    "phone, light, in Russian": {"viewport": PHONE, "locale": "ru-KZ"},
}
LEAST_DIFFERENCE = 30  # of 255, between a field's edge and what is around it
FAINT = """(least) => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const painted = (colours) => {
    for (const colour of colours) {
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const behind = (one) => one ? [...behind(one.parentElement), getComputedStyle(one).backgroundColor] : ["white"];
  const isFaint = (field) => {
    const {borderTopColor, borderTopWidth} = getComputedStyle(field);
    const around = behind(field.parentElement), ground = painted(around);
    const edge = painted([...around, borderTopWidth === "0px" ? "transparent" : borderTopColor]);
    return Math.max(...edge.map((part, number) => Math.abs(part - ground[number]))) < least;
  };
  const fields = [...document.querySelectorAll("main form, #main form")].flatMap((form) => [...form.elements]);
  return fields.filter((field) => field.matches("[type=text], textarea, select") && isFaint(field))
    .map((field) => field.outerHTML);
}"""


@pytest.fixture(scope="module")
def axe():
    """Return axe-core's source."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text()


def violations(page, axe, part):
    """Run every rule on that part of the page; return what is serious, one line for each element."""
    page.evaluate(axe)  # through the debugger: the page's policy stays as strict as it is
    found = page.evaluate("([part, options]) => axe.run(part, options)", [part, OPTIONS])["violations"]
    return [
        f"{rule['id']}: {node['html']} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
        if (rule["id"], *node["target"]) not in NOT_OURS
    ]


def faults(page, axe, name):
    """Return what is wrong on a page: for eyes, for screen readers, for the keyboard, and for a narrow window."""
    found = violations(page, axe, pages.PLACE_OF.get(name, pages.PLACE)) + page.evaluate(keyboard.OUT_OF_REACH)
    if pages.overflow(page) and page.viewport_size == PHONE:
        found.append("wider than the phone")
    if name in pages.OURS:
        found += keyboard.dead_ends(page, pages.PLACE)
        found += page.evaluate(FAINT, LEAST_DIFFERENCE) if name.startswith("ask") else []
    return found


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_accessible(window, operator, busy, axe, look):
    """Axe finds nothing serious, Tab reaches and outlines everything, fields have edges, and nothing is too wide."""
    page = window(operator, **LOOKS[look])
    assert pages.find(page, lambda name: faults(page, axe, name)) == {}
