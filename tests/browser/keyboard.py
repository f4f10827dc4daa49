"""Working without a mouse."""

from dataclasses import dataclass

MOST_STOPS = 400
IS_FOCUSED = "element => element === document.activeElement"
WAY = """element => {
  const active = document.activeElement;
  if (element === active) return "";
  const isBefore = active.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_PRECEDING;
  return isBefore && !active.contains(element) ? "Shift+Tab" : "Tab";
}"""
MARK_STOPS = """(place) => {
  const found = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")];
  const stops = found.filter((one) => !one.disabled && one.type !== "hidden" && one.tabIndex >= 0
    && one.checkVisibility({visibilityProperty: true}) && one.getClientRects().length && one.closest(place));
  return stops.map((one, number) => one.dataset.stop = `${number}: ${one.outerHTML.slice(0, 120)}`);
}"""
WHERE = """() => {
  const one = document.activeElement;
  const {outlineStyle, outlineWidth} = getComputedStyle(one);
  const name = one === document.body ? "" : one.dataset.stop ?? one.outerHTML;
  return [name, outlineStyle !== "none" && outlineWidth !== "0px"];
}"""
OUT_OF_REACH = """() => [...document.querySelectorAll("main *, #main *")].filter((one) =>
  one.scrollWidth > one.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(one).overflowX)
  && one.tabIndex < 0 && !one.querySelector("a[href], input, select, button, [tabindex='0']")
).map((one) => one.outerHTML.slice(0, 200))"""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A place where Tab stops."""

    name: str
    is_outlined: bool


def tab_to(page, target):
    """Press Tab, or Shift and Tab for what is above, until the element has the focus."""
    handle = target.element_handle()
    for _ in range(MOST_STOPS):
        key = handle.evaluate(WAY)
        if not key:
            return
        page.keyboard.press(key)
    raise AssertionError(f"Tab never reaches {target}")


def follow(page, target):
    """Go to a link or a button, and press Enter."""
    tab_to(page, target)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def write(page, target, text):
    """Go to a field, and type."""
    tab_to(page, target)
    page.keyboard.type(text)


def mark_stops(page, place="body"):
    """Name everything in that part of the page that can be clicked, written in or scrolled; return the names."""
    return set(page.evaluate(MARK_STOPS, place))


def walk(page):
    """Press Tab once around the page, from wherever the focus is; return the stops."""
    stops = {}
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        name, is_outlined = page.evaluate(WHERE)
        if name in stops:
            break
        if name:  # after the last one the focus leaves the page, and enters it again
            stops[name] = Stop(name=name, is_outlined=is_outlined)
    return list(stops.values())
