"""Working without a mouse."""

MOST_STOPS = 400
MORE_STOPS = 10  # such as tables that scroll, and the end of the page
IS_FOCUSED = "element => element === document.activeElement"
WAY = """element => {
  const active = document.activeElement;
  if (element === active) return "";
  const isBefore = active.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_PRECEDING;
  return isBefore && !active.contains(element) ? "Shift+Tab" : "Tab";
}"""
WATCH_FOCUS = """(place) => {
  const found = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")];
  const stops = found.filter((one) => !one.disabled && one.type !== "hidden" && one.tabIndex >= 0
    && one.checkVisibility({visibilityProperty: true}) && one.getClientRects().length);
  window.missed = new Set(stops.filter((one) => one.closest(place)));
  document.addEventListener("focusin", ({target}) => {
    const {outlineStyle, outlineWidth} = getComputedStyle(target);
    if (outlineStyle !== "none" && outlineWidth !== "0px") window.missed.delete(target);
  });
  return stops.length;
}"""
MISSED = "() => [...window.missed].map((one) => one.outerHTML.slice(0, 200))"
OUT_OF_REACH = """() => [...document.querySelectorAll("main *, #main *")].filter((one) =>
  one.scrollWidth > one.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(one).overflowX)
  && one.tabIndex < 0 && !one.querySelector("a[href], input, select, button, [tabindex='0']")
).map((one) => one.outerHTML.slice(0, 200))"""


def tab_to(page, target):
    """Press Tab, or Shift and Tab for what is above, until the element has the focus."""
    handle = target.element_handle()
    for _ in range(MOST_STOPS):
        key = handle.evaluate(WAY)
        if not key:
            return
        page.keyboard.press(key)
    raise AssertionError(f"Tab never reaches {target}")


def dead_ends(page, place="body"):
    """Press Tab around the page; return what in that part of it is not reached, or has no outline then."""
    for _ in range(page.evaluate(WATCH_FOCUS, place) + MORE_STOPS):
        page.keyboard.press("Tab")
    return page.evaluate(MISSED)
