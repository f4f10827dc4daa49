"""The dashboard in the reader's language, by the shop's clock."""

from datetime import UTC, timedelta

import pytest
from django.utils import timezone, translation

from kaspi_delivery_django.formats import time_label
from kaspi_delivery_django.models import WebhookEvent
from tests.browser import pages
from tests.conftest import NOON

MANY = 1234
LANGUAGES = pytest.mark.parametrize("language", ["ru", "kk"])


@pytest.fixture
def dashboard(window, operator, busy):
    """Open the dashboard in a browser that asks for this language."""

    def open_it(language):
        page = window(operator, locale=f"{language}-KZ")
        pages.go_to_dashboard(page)
        return page

    return open_it


@LANGUAGES
def test_every_heading_is_translated(dashboard, language):
    """No heading, of a section or of a column, is left in English."""
    english, shown = (
        dashboard(spoken).locator("#content-main h2, #content-main thead th:not(.kd-number)").all_text_contents()
        for spoken in ("en", language)
    )
    with translation.override(language):
        assert shown == [translation.gettext(heading) for heading in english]
    assert not set(english) & set(shown)


@LANGUAGES
def test_what_needs_somebody_is_said_in_her_language(dashboard, language):
    """So is each reason and each link."""
    english, shown = (dashboard(spoken).locator(".kd-needs li").all_text_contents() for spoken in ("en", language))
    assert len(english) == len(shown) > 2
    assert not set(english) & set(shown)


@pytest.mark.parametrize("language", ["en", "ru", "kk"])
def test_times_are_the_shops(dashboard, language):
    """The browser may be anywhere: the page shows the time in Almaty, written as the language writes it."""
    page = dashboard(language)
    with translation.override(language):
        written = time_label(NOON, "DATETIME_FORMAT")
        with timezone.override(UTC):
            in_greenwich = time_label(NOON, "DATETIME_FORMAT")
    said = page.locator("p.help").text_content()
    assert written in said
    assert in_greenwich not in said


@pytest.mark.parametrize("language", ["en", "ru", "kk"])
def test_numbers_are_grouped_as_the_language_groups_them(dashboard, language):
    """1,234 or 1 234."""
    known = {"account": "default", "environment": "sandbox", "type": "delivery.created", "state": "conflict"}
    WebhookEvent.objects.bulk_create(
        WebhookEvent(**known, event_id=f"wh_many_{number}", received_at=NOON - timedelta(hours=1), body="{}")
        for number in range(MANY)
    )
    written = "1,234" if language == "en" else "1\N{NO-BREAK SPACE}234"
    assert dashboard(language).locator(".kd-needs li", has_text=written).count() == 1
