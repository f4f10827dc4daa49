"""A browser that reports every complaint, before the project's live server with Kaspi's sandbox behind it.

Without Playwright or Chromium these tests are skipped; with KASPI_BROWSER=required they fail then.
"""

import os
import shutil
from importlib.util import find_spec

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, Permission, User
from django.test import Client, override_settings
from pytest_django.live_server_helper import LiveServer

from kaspi_delivery_django.management.commands import kaspi_operators
from tests.browser import pages, rows
from tests.browser.watching import Watch
from tests.conftest import PATIENCE_S
from tests.example_project import conftest as shop

NEEDED = ("playwright", "axe_playwright_python")
ARGUMENTS = [
    "--no-sandbox",  # it may run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",  # nothing leaves the machine
]
MIDDLEWARE = [
    *([] if pages.THEME else ["tests.browser.middleware.StrictPolicy"]),  # themes have scripts in their pages
    *django_settings.MIDDLEWARE[:1],
    "django.middleware.locale.LocaleMiddleware",  # after the sessions, before the rest
    *django_settings.MIDDLEWARE[1:],
]
LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
apples, make_order = shop.apples, shop.make_order


def missing():
    """Return what a browser test needs and is not there."""
    if absent := [name for name in NEEDED if find_spec(name) is None]:
        return f"not installed: {', '.join(absent)} (pip install --group browser)"
    return "" if shutil.which("chromium") else "no chromium on PATH (apt-get install chromium)"


@pytest.fixture(scope="package")
def chromium():
    """Start the browser once. Its driver runs an event loop in this thread, where Django then refuses queries."""
    if reason := missing():
        (pytest.fail if os.environ.get("KASPI_BROWSER") == "required" else pytest.skip)(reason)
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # a dependency group brings it

    with pytest.MonkeyPatch.context() as patch, sync_playwright() as driver:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # the loop only waits while a test's own code runs
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def live_server(chromium):
    """Serve the project under the strict policy, in the reader's language."""
    with override_settings(MIDDLEWARE=MIDDLEWARE):
        server = LiveServer("localhost")
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _shop(configure, kaspi):
    """Ship the example shop's orders, each call at once."""
    configure(ORDER_ADAPTERS=["example_project.shop.kaspi.ShopOrderAdapter"], RUNNER="inline")


@pytest.fixture
def operator(live_server, transactional_db):
    """Return a user of the operators' group, who may edit the shop's orders too."""
    kaspi_operators.make_group(using="default")
    user = User.objects.create_user("operator", is_staff=True)
    user.groups.add(Group.objects.get(name=kaspi_operators.NAME))
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="example_shop"))
    return user


@pytest.fixture
def busy(kaspi, make_order, post_webhook, fake_clock):
    """Fill every page of the desk."""
    rows.fill(kaspi, make_order, post_webhook, fake_clock)


@pytest.fixture
def window(chromium, live_server):
    """Open a page in a window of its own, logged in as the user if one is given; what is wrong there fails the test."""
    contexts, watch = [], Watch(live_server.url)

    def open_one(user=None, **options):
        known = {"base_url": live_server.url, "viewport": LAPTOP, "locale": "en-GB", "color_scheme": "light"}
        context = chromium.new_context(**{**known, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE_S * 1000)
        watch.look_at(context)
        if user:
            context.add_cookies([{"name": "sessionid", "value": session_of(user), "url": live_server.url}])
        return context.new_page()

    yield open_one
    for context in contexts:
        context.close()
    assert watch.complaints == []


def session_of(user):
    """Log in without a form; return the session's key."""
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value
