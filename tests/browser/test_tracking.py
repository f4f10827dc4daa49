"""The customer's page and the shop's with the timeline in it, as a customer meets them."""

from datetime import timedelta

import pytest

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.tracking import tracking_path
from tests import tracked
from tests.browser import keyboard, pages, rows
from tests.browser.conftest import LAPTOP, PHONE
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
def delivery(kaspi, make_order, turnable):
    """Return the delivery of an order that was paid in the shop."""
    return rows.book(make_order)


@pytest.fixture
def follow(window, delivery):
    """Open the customer's page, with the browser's clock under the test's hand; count what is asked for."""

    def open_it(*, hidden=False, **options):
        page = window(**options)
        if hidden:
            page.add_init_script(f"({HIDE})(true)")
        page.clock.install()
        page.clock.pause_at(NOON + timedelta(days=3650))
        page.add_init_script(COUNT)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url) if request.resource_type == "xhr" else None)
        page.goto(tracking_path(delivery))
        return page

    return open_it


def label(page):
    """Return how the page says that the delivery stands."""
    return page.locator(".kaspi-label")


def look_again(page, after_ms=SOON_MS):
    """Let time go by in the browser, and wait for the answer to what it asks then."""
    with page.expect_response(lambda response: response.request.resource_type == "xhr"):
        page.clock.fast_forward(after_ms)


def violations(page, axe):
    """Run every rule of axe, the best practices too; return what is broken."""
    page.evaluate(axe)
    found = page.evaluate("options => axe.run('html', options)", OPTIONS)["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]


def fill(delivery):
    """Let everything be there that the page can show."""
    tracked.stand(
        delivery,
        "in_transit",
        ("created", 0, True),
        ("in_transit", 9, True),
        ("accepted", 5, False),
        delivery_by=NOON - timedelta(hours=1),
        tracking_url="https://track.kaspi.kz/1",
    )


LOOKS = {
    "late": fill,
    "new": lambda delivery: tracked.stand(delivery, ""),
    "delivered": lambda delivery: tracked.stand(
        delivery, "delivered", *((word, n, True) for n, word in enumerate(rows.WAY))
    ),
    "cancelled": lambda delivery: tracked.stand(delivery, "cancelled", ("created", 0, True), ("cancelled", 9, True)),
    "unknown": lambda delivery: tracked.stand(delivery, LONG, ("created", 0, True), (LONG, 9, True)),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, SMALL], ids=["laptop", "320 pixels"])
def test_the_page_shuts_nobody_out(window, delivery, axe, theme, size):
    """No rule of axe is broken, in no state; and nothing is wider than the window."""
    page = window(color_scheme=theme, viewport=size)
    for look in LOOKS.values():
        look(delivery)
        page.goto(tracking_path(delivery))
        assert violations(page, axe) == []
        assert pages.overflow(page) <= 0


def test_the_page_for_a_wrong_link_shuts_nobody_out(chromium, live_server, delivery, axe):
    """It says what to do."""
    page = chromium.new_page(base_url=live_server.url)
    assert page.goto("/kaspi/track/1.a/").status == 404
    assert page.get_by_role("heading", name="No delivery here").is_visible()
    assert violations(page, axe) == []
    page.close()


def test_without_scripts_the_page_says_everything(window, delivery):
    """And how to see what is new."""
    fill(delivery)
    page = window(java_script_enabled=False)
    page.goto(tracking_path(delivery))
    assert label(page).inner_text() == "In transit"
    assert page.get_by_role("listitem").count() == 5
    assert page.locator("noscript p").is_visible()
    assert page.get_by_text("It takes longer than planned.").is_visible()


def test_with_scripts_nobody_is_asked_to_reload(follow):
    """The page does that itself."""
    assert "Reload this page" not in follow().locator("main").inner_text()


def test_a_webhook_moves_the_page(follow, delivery, post_webhook):
    """Within seconds; the element that is read aloud stays the same one."""
    page = follow()
    assert label(page).inner_text() == "Created"
    page.evaluate("document.querySelector('.kaspi-now').dataset.kept = 'yes'")
    post_webhook(event(delivery, "accepted"))
    look_again(page)
    page.get_by_text("A courier is on the way to the shop.").wait_for()
    assert page.locator("[aria-current=step]").inner_text().startswith("Accepted")
    assert page.locator(".kaspi-now[role=status]").get_attribute("data-kept") == "yes"
    assert page.locator(".kaspi-timeline").get_attribute("data-kaspi-status") == "accepted"


@pytest.mark.parametrize("status", ["delivered", "cancelled"])
def test_at_the_end_the_page_asks_no_more(follow, delivery, status):
    """There is nothing more to come."""
    page = follow()
    tracked.stand(delivery, status, (status, 0, True))
    look_again(page)
    page.locator(f".kaspi-timeline[data-kaspi-status={status}]").wait_for()
    page.clock.run_for(10 * MINUTE_MS)
    assert len(page.asked) == 1


def test_while_nothing_happens_the_page_asks_less_and_less(follow):
    """After 5 seconds first, and once a minute in the end."""
    page, pauses = follow(), [5, 7.5, 11.25, 16.875, 25.3125, 37.96875, 56.953125, 60, 60]
    for number, pause in enumerate(pauses):
        page.wait_for_function("times => window.rests > times", arg=number)  # the last answer was read
        page.clock.run_for(int(pause * 1000) - 20)
        assert len(page.asked) == number
        look_again(page, 40)


def test_a_page_that_nobody_sees_asks_nothing(follow, delivery):
    """Neither when it was opened so, nor when it is left; and it looks at once when it is seen again."""
    page = follow(hidden=True)
    page.clock.run_for(10 * MINUTE_MS)
    assert page.asked == []
    tracked.stand(delivery, "in_transit", ("in_transit", 0, True))
    page.evaluate(HIDE, False)
    page.locator(".kaspi-timeline[data-kaspi-status=in_transit]").wait_for()
    page.evaluate(HIDE, True)
    page.clock.run_for(10 * MINUTE_MS)
    assert len(page.asked) == 1


def test_a_network_that_is_away_is_tried_again(follow, delivery):
    """A minute later, and the page stays as it was."""
    page = follow()
    page.route("**/track/**", lambda route: route.fulfill(status=200, body="<p>a captive portal</p>"))
    look_again(page)
    assert label(page).inner_text() == "Created"
    page.unroute("**/track/**")
    page.wait_for_function("window.rests > 1")  # the answer was read
    tracked.stand(delivery, "in_transit", ("in_transit", 0, True))
    look_again(page, MINUTE_MS)
    page.locator(".kaspi-timeline[data-kaspi-status=in_transit]").wait_for()


def test_a_link_that_has_ended_is_not_asked_again(follow, chromium, live_server, delivery):
    """The page shows what it knew."""
    page = chromium.new_page(base_url=live_server.url)
    page.clock.install()
    page.goto(tracking_path(delivery))
    Delivery.objects.update(blanked_at=NOON)
    look_again(page)
    page.locator(".kaspi-timeline:not([data-kaspi-source])").wait_for(state="attached")
    assert label(page).inner_text() == "Created"
    page.close()


def test_what_is_new_does_not_take_the_focus_away(follow, delivery, post_webhook):
    """Who stands on the link to Kaspi's page stays there."""
    page = follow()
    link = page.get_by_role("link", name="Follow the parcel at Kaspi")
    keyboard.tab_to(page, link)
    post_webhook(event(delivery, "accepted"))
    look_again(page)
    page.locator(".kaspi-timeline[data-kaspi-status=accepted]").wait_for()
    assert link.evaluate(keyboard.IS_FOCUSED)


def test_every_stop_of_the_keyboard_is_seen(follow, delivery):
    """The one link is reached, and outlined."""
    fill(delivery)
    page = follow()
    page.reload()
    there, reached = keyboard.mark_stops(page), keyboard.walk(page)
    assert {stop.name for stop in reached} == there
    assert len(there) == 1
    assert all(stop.is_outlined for stop in reached)


def test_a_policy_of_trusted_types_lets_the_page_refresh(follow, delivery, live_server):
    """The strictest policy there is breaks nothing."""
    page = follow()

    def harden(route):
        answer = route.fetch()
        policy = TRUSTED + answer.headers["content-security-policy"]
        route.fulfill(response=answer, headers={**answer.headers, "content-security-policy": policy})

    page.route("**/track/**", harden)
    page.reload()
    tracked.stand(delivery, "in_transit", ("in_transit", 0, True))
    look_again(page)
    page.locator(".kaspi-timeline[data-kaspi-status=in_transit]").wait_for()


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
LOOSE = "default-src * 'unsafe-inline'; base-uri *; form-action *"


def serve(page, change, policy=LOOSE):
    """Let the page be answered with changed markup, under a policy that would let everything run."""

    def answer(route):
        real = route.fetch()
        headers = {**real.headers, "content-security-policy": policy}
        route.fulfill(response=real, headers=headers, body=change(real.text()))

    page.route("**/track/**", answer)


def test_nothing_of_fetched_markup_runs(follow, live_server):
    """Neither a script nor a handler, a frame, a form or an element of the shop's; text and links stay."""
    page = follow()
    serve(page, lambda text: text)
    page.reload()
    page.evaluate(
        "customElements.define('x-evil', class extends HTMLElement { connectedCallback() { window.ran = 1 } })"
    )
    page.unroute("**/track/**")
    serve(
        page, lambda text: text.replace('<div class="kaspi-way">', f'<div class="kaspi-way"><b id="new"></b>{HOSTILE}')
    )
    look_again(page)
    page.locator("#new").wait_for(state="attached")
    page.locator("a.kept").click()
    assert page.evaluate("window.ran") is None
    left = page.locator(".kaspi-timeline").inner_html()
    assert "press" in left
    assert '<path d="M0 0">' in left
    for word in LEFT_OUT:
        assert word not in left


def test_hostile_markup_is_read_once(follow):
    """What is left out does not count as news each time."""
    page = follow()
    serve(page, lambda text: text.replace('<div class="kaspi-way">', '<div class="kaspi-way"><script>1</script>'))
    look_again(page)
    page.wait_for_function("window.rests > 1")
    page.evaluate("document.querySelector('.kaspi-way').firstElementChild.dataset.kept = 'yes'")
    look_again(page)
    page.wait_for_function("window.rests > 2")
    assert page.locator("[data-kept=yes]").count() == 1


@pytest.mark.parametrize(
    "source", ["https://elsewhere.example/track/", "//elsewhere.example/", "data:text/html,a", "//["]
)
def test_no_other_origin_is_asked(follow, source):
    """Whatever the markup names."""
    page = follow()
    page.unroute_all()
    serve(page, lambda text: text.replace('data-kaspi-source="', f'data-kaspi-source="{source}" data-rest="'))
    page.reload()
    page.clock.run_for(10 * MINUTE_MS)
    assert page.asked == []


def test_no_other_origin_is_believed(follow, delivery):
    """Of markup that was fetched, the next source is checked as well."""
    page = follow()
    serve(
        page, lambda text: text.replace('data-kaspi-source="', 'data-kaspi-source="https://elsewhere.example" data-x="')
    )
    look_again(page)
    page.locator(".kaspi-timeline:not([data-kaspi-source])").wait_for(state="attached")
    page.clock.run_for(10 * MINUTE_MS)
    assert len(page.asked) == 1


@pytest.mark.parametrize(("language", "word"), [("ru", "Ваша доставка"), ("kk", "Сіздің жеткізуіңіз")])
def test_the_page_speaks_the_readers_language(follow, delivery, language, word):
    """All of it, and says so to who reads it aloud."""
    fill(delivery)
    page = follow(locale=f"{language}-KZ")
    page.reload()
    assert page.get_by_role("heading", level=1).inner_text() == word
    assert page.locator("html").get_attribute("lang") == language
    text = page.locator("main").inner_text().replace("Kaspi", "")
    assert [sign for sign in text if "a" <= sign.lower() <= "z"] == []


def test_the_shops_own_page_refreshes_too(window, delivery, post_webhook):
    """The tag alone, and our script."""
    page = window()
    page.clock.install()
    page.goto(delivery.order.get_absolute_url())
    assert label(page).inner_text() == "Created"
    post_webhook(event(delivery, "accepted"))
    look_again(page)
    page.locator(".kaspi-timeline[data-kaspi-status=accepted]").wait_for()
    assert page.get_by_role("heading", name=str(delivery.order)).is_visible()


@pytest.mark.parametrize("size", [LAPTOP, PHONE, SMALL], ids=["laptop", "phone", "320 pixels"])
def test_the_shops_own_page_shuts_nobody_out(window, delivery, axe, size):
    """With the timeline in it."""
    fill(delivery)
    page = window(viewport=size)
    page.goto(delivery.order.get_absolute_url())
    assert violations(page, axe) == []
    assert pages.overflow(page) <= 0


def test_the_timeline_takes_the_writing_direction(follow, delivery):
    """A shop that writes from right to left has it mirrored."""
    fill(delivery)
    page = follow()
    page.reload()
    page.evaluate("document.documentElement.dir = 'rtl'")
    line, step, time = (page.locator(f".kaspi-done{inside}").first.bounding_box() for inside in ("", " bdi", " time"))
    assert time["x"] == line["x"]
    assert step["x"] > time["x"] + time["width"]
    assert step["x"] + step["width"] < line["x"] + line["width"]
    assert pages.overflow(page) <= 0
