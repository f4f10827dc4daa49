"""The customer's page and the shop's with the timeline in it, as a customer meets them."""

from datetime import timedelta

import pytest

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.tracking import tracking_path
from tests import tracked
from tests.browser import keyboard, middleware, pages, rows
from tests.browser.conftest import LAPTOP
from tests.browser.test_accessibility import OPTIONS, axe
from tests.conftest import NOON, event

axe = axe  # noqa: PLW0127  # a fixture is found by its name
SMALL = {"width": 320, "height": 640}
LONG = "Тастамайшы" * 6
TRUSTED = "require-trusted-types-for 'script'; trusted-types 'none'; "
SOON_MS, MINUTE_MS = 5_001, 60_001
COUNT = """(() => {
  const rest = window.setTimeout;
  window.rests = 0;
  window.setTimeout = (...how) => { window.rests += 1; return rest(...how); };
})()"""
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def delivery(kaspi, make_order, fake_clock):
    """Return the delivery of an order that was paid in the shop."""
    return rows.book(make_order)


@pytest.fixture
def follow(window, delivery):
    """Open the customer's page, with the browser's clock under the test's control; record its requests."""

    def open_it(address=None, *, hidden=False):
        page = window()
        if hidden:
            page.add_init_script(f"({HIDE})(true)")
        page.clock.install()
        page.clock.pause_at(NOON + timedelta(days=3650))
        page.add_init_script(COUNT)
        page.requested = []
        page.on("request", lambda one: page.requested.append(one.url) if one.resource_type == "xhr" else None)
        page.goto(address or tracking_path(delivery))
        return page

    return open_it


def label(page):
    """Return the status as the page shows it."""
    return page.locator(".kaspi-label")


def wait_for_status(page, status):
    """Wait until the timeline has this status."""
    page.locator(f".kaspi-timeline[data-kaspi-status={status}]").wait_for()


def refresh(page, after_ms=SOON_MS):
    """Let time go by in the browser, and wait for the response to what it requests then."""
    with page.expect_response(lambda response: response.request.resource_type == "xhr"):
        page.clock.fast_forward(after_ms)


def move(delivery, status):
    """Give the delivery a status, with its step in the history."""
    tracked.stand(delivery, status, (status, 0, True))


def fill(delivery):
    """Let everything be there that the page can show."""
    steps = (("created", 0, True), ("in_transit", 9, True), ("accepted", 5, False))
    late = {"delivery_by": NOON - timedelta(hours=1), "tracking_url": "https://track.kaspi.kz/1"}
    tracked.stand(delivery, "in_transit", *steps, **late)


LOOKS = {
    "new": lambda delivery: tracked.stand(delivery, ""),
    "delivered": lambda delivery: tracked.stand(
        delivery, "delivered", *((word, n, True) for n, word in enumerate(rows.WAY))
    ),
    "cancelled": lambda delivery: tracked.stand(delivery, "cancelled", ("created", 0, True), ("cancelled", 9, True)),
    "unknown": lambda delivery: tracked.stand(delivery, LONG, ("created", 0, True), (LONG, 9, True)),
    "late": fill,
}


def faults(page, axe):
    """Return each rule of axe that is broken, the best practices too, and whether the page is too wide."""
    page.evaluate(axe)
    found = page.evaluate("options => axe.run('html', options)", OPTIONS)["violations"]
    broken = [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]
    return broken + (["wider than the window"] if pages.overflow(page) > 0 else [])


@pytest.mark.parametrize(("theme", "size"), [("light", LAPTOP), ("dark", SMALL), ("light", SMALL)])
def test_the_page_is_accessible(window, delivery, axe, theme, size):
    """In each state; so is the shop's own page with the timeline in it."""
    page = window(color_scheme=theme, viewport=size)
    for look in LOOKS.values():
        look(delivery)
        page.goto(tracking_path(delivery))
        assert faults(page, axe) == []
    assert keyboard.dead_ends(page) == []
    page.goto(delivery.order.get_absolute_url())
    assert faults(page, axe) == []


def test_the_page_for_a_wrong_link_is_accessible(chromium, live_server, delivery, axe):
    """It says what to do."""
    page = chromium.new_page(base_url=live_server.url)
    assert page.goto("/kaspi/track/1.a/").status == 404
    assert page.get_by_role("heading", name="No delivery here").is_visible()
    assert faults(page, axe) == []
    page.close()


def test_without_scripts_the_page_has_everything(window, delivery):
    """With a hint to reload it, which is hidden where scripts run."""
    fill(delivery)
    page = window(java_script_enabled=False)
    page.goto(tracking_path(delivery))
    assert label(page).inner_text() == "In transit"
    assert page.get_by_role("listitem").count() == 5
    assert page.locator("noscript p").is_visible()
    assert page.get_by_text("It takes longer than planned.").is_visible()
    scripted = window()
    scripted.goto(tracking_path(delivery))
    assert "Reload this page" not in scripted.locator("main").inner_text()


def test_a_webhook_moves_the_page(follow, delivery, post_webhook):
    """Within seconds. The element that is read aloud stays the same one, and a link keeps the focus."""
    page = follow()
    assert label(page).inner_text() == "Created"
    page.evaluate("document.querySelector('.kaspi-now').dataset.kept = 'yes'")
    link = page.get_by_role("link", name="Follow the parcel at Kaspi")
    keyboard.tab_to(page, link)
    post_webhook(event(delivery, "accepted"))
    refresh(page)
    page.get_by_text("A courier is on the way to the shop.").wait_for()
    wait_for_status(page, "accepted")
    assert page.locator("[aria-current=step]").inner_text().startswith("Accepted")
    assert page.locator(".kaspi-now[role=status]").get_attribute("data-kept") == "yes"
    assert link.evaluate(keyboard.IS_FOCUSED)


def test_the_shops_own_page_refreshes_too(follow, delivery):
    """The tag alone, and our script."""
    page = follow(delivery.order.get_absolute_url())
    move(delivery, "accepted")
    refresh(page)
    wait_for_status(page, "accepted")
    assert page.get_by_role("heading", name=str(delivery.order)).is_visible()


@pytest.mark.parametrize("status", ["delivered", "cancelled"])
def test_at_the_end_the_page_requests_nothing_more(follow, delivery, status):
    """There is nothing more to come."""
    page = follow()
    move(delivery, status)
    refresh(page)
    wait_for_status(page, status)
    page.clock.run_for(10 * MINUTE_MS)
    assert len(page.requested) == 1


def test_while_nothing_happens_the_pauses_grow(follow):
    """From 5 seconds to a minute."""
    page, pauses = follow(), [5, 7.5, 11.25, 16.875, 25.3125, 37.96875, 56.953125, 60, 60]
    for number, pause in enumerate(pauses):
        page.wait_for_function("times => window.rests > times", arg=number)  # the last response was read
        page.clock.run_for(int(pause * 1000) - 20)
        assert len(page.requested) == number
        refresh(page, 40)


def test_a_hidden_page_requests_nothing(follow, delivery):
    """Neither when it was opened so, nor when it is left; it refreshes at once when it is seen again."""
    page = follow(hidden=True)
    page.clock.run_for(10 * MINUTE_MS)
    assert page.requested == []
    move(delivery, "in_transit")
    page.evaluate(HIDE, False)
    wait_for_status(page, "in_transit")
    page.evaluate(HIDE, True)
    page.clock.run_for(10 * MINUTE_MS)
    assert len(page.requested) == 1


def test_a_network_that_is_away_is_tried_again(follow, delivery):
    """A minute later, and the page stays as it was."""
    page = follow()
    page.route("**/track/**", lambda route: route.fulfill(status=200, body="<p>a captive portal</p>"))
    refresh(page)
    assert label(page).inner_text() == "Created"
    page.unroute("**/track/**")
    page.wait_for_function("window.rests > 1")  # the response was read
    move(delivery, "in_transit")
    refresh(page, MINUTE_MS)
    wait_for_status(page, "in_transit")


def test_a_link_that_has_ended_is_not_requested_again(chromium, live_server, delivery):
    """The page shows the last status."""
    page = chromium.new_page(base_url=live_server.url)
    page.clock.install()
    page.goto(tracking_path(delivery))
    Delivery.objects.update(blanked_at=NOON)
    refresh(page)
    page.locator(".kaspi-timeline:not([data-kaspi-source])").wait_for(state="attached")
    assert label(page).inner_text() == "Created"
    page.close()


def serve(page, change, policy="default-src * 'unsafe-inline'; base-uri *; form-action *"):
    """Let the page be answered with changed markup, under a policy that would let everything run."""

    def answer(route):
        real = route.fetch()
        headers = {**real.headers, "content-security-policy": policy}
        route.fulfill(response=real, headers=headers, body=change(real.text()))

    page.unroute_all()
    page.route("**/track/**", answer)


def put(before, more, after=""):
    """Return a change of the page that writes more behind a text."""
    return lambda text: text.replace(before, f"{before}{more}{after}")


def test_a_policy_of_trusted_types_lets_the_page_refresh(follow, delivery):
    """The strictest policy there is breaks nothing."""
    page = follow()
    serve(page, str, f"{TRUSTED}{middleware.POLICY}")
    page.reload()
    move(delivery, "in_transit")
    refresh(page)
    wait_for_status(page, "in_transit")


HOSTILE = """
<script>window.ran = "script"</script><script src="/static/evil.js"></script>
<img src="/static/kaspi_delivery/tracking.css" onerror="window.ran = 'handler'">
<svg onload="window.ran = 'svg'"><path d="M0 0"></path>
<use href="/static/evil.svg#a"></use><animate onbegin="window.ran = 'animation'"></animate></svg>
<a href="javascript:window.ran = 'link'" class="kept" onclick="window.ran = 'click'">press</a>
<a href=" java&#9;script:window.ran = 'link'">press</a>
<iframe srcdoc="<script>parent.ran = 'frame'</script>"></iframe><object data="/static/evil.html"></object>
<form action="/steal"><button formaction="javascript:window.ran = 'form'">press</button></form>
<style>* { display: none }</style><link rel="stylesheet" href="/static/evil.css"><base href="https://elsewhere.example/">
<x-evil data-controller="evil"></x-evil><details open ontoggle="window.ran = 'toggle'">a</details>
<template><script>window.ran = 'template'</script></template>
"""
LEFT_OUT = ("<script", "onerror", "iframe", "<form", "<style", "<link", "<base", "x-evil", "<object", "<use", "toggle")
DEFINE = "customElements.define('x-evil', class extends HTMLElement { connectedCallback() { window.ran = 1 } })"
WAY, SOURCE = '<div class="kaspi-way">', 'data-kaspi-source="'


def test_nothing_of_fetched_markup_runs(follow, live_server):
    """Neither a script nor a handler, a frame, a form or an element of the shop's; text and links stay."""
    page = follow()
    serve(page, str)
    page.reload()
    page.evaluate(DEFINE)
    serve(page, put(WAY, f'<b id="new"></b>{HOSTILE}'))
    refresh(page)
    page.locator("#new").wait_for(state="attached")
    page.locator("a.kept").click()
    assert page.evaluate("window.ran") is None
    left = page.locator(".kaspi-timeline").inner_html()
    assert "press" in left
    assert '<path d="M0 0">' in left
    assert [word for word in LEFT_OUT if word in left] == []


def test_hostile_markup_is_read_once(follow):
    """What is left out does not count as a change each time."""
    page = follow()
    serve(page, put(WAY, "<script>1</script>"))
    refresh(page)
    page.wait_for_function("window.rests > 1")
    page.evaluate("document.querySelector('.kaspi-way').firstElementChild.dataset.kept = 'yes'")
    refresh(page)
    page.wait_for_function("window.rests > 2")
    assert page.locator("[data-kept=yes]").count() == 1


def test_no_other_origin_is_requested(follow):
    """Whatever the markup names, at first or in a response."""
    page = follow()
    for source in ("https://elsewhere.example/track/", "//elsewhere.example/", "data:text/html,a", "//["):
        serve(page, put(SOURCE, source, '" data-rest="'))
        page.reload()
        page.clock.run_for(10 * MINUTE_MS)
        assert page.requested == []
    serve(page, str)
    page.reload()
    serve(page, put(SOURCE, "https://elsewhere.example", '" data-rest="'))
    refresh(page)
    page.locator(".kaspi-timeline:not([data-kaspi-source])").wait_for(state="attached")
    page.clock.run_for(10 * MINUTE_MS)
    assert len(page.requested) == 1


def test_the_timeline_takes_the_writing_direction(window, delivery):
    """A shop that writes from right to left has it mirrored."""
    fill(delivery)
    page = window()
    page.goto(tracking_path(delivery))
    page.evaluate("document.documentElement.dir = 'rtl'")
    line, step, time = (page.locator(f".kaspi-done{inside}").first.bounding_box() for inside in ("", " bdi", " time"))
    assert time["x"] == line["x"]
    assert step["x"] > time["x"] + time["width"]
    assert step["x"] + step["width"] < line["x"] + line["width"]
    assert pages.overflow(page) <= 0
