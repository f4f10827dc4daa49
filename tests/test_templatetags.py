"""The template tag and filter for a shop's own templates."""

import re

import pytest
from django.template import Context, Template
from django.utils import timezone, translation

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.tracking import tracking_path
from tests import tracked
from tests.conftest import NOON

pytestmark = pytest.mark.django_db


def show(delivery):
    """Render the tag in a template of the shop."""
    template = Template("{% load kaspi_delivery %}<section>{% kaspi_timeline delivery %}</section>")
    return template.render(Context({"delivery": delivery}))


def test_the_steps_are_an_ordered_list_with_the_current_one_marked(booked):
    """Also for a screen reader; the script finds where to look for changes, and `kaspi_status` is the label."""
    tracked.stand(booked, "accepted", ("created", 0, True), ("accepted", 5, True))
    page = show(booked)
    assert re.findall(r'data-kaspi-step="(\w+)"( aria-current="step")?', page) == [
        ("created", ""),
        ("accepted", ' aria-current="step"'),
        ("in_transit", ""),
        ("out_for_delivery", ""),
        ("delivered", ""),
    ]
    assert page.count("<ol") == page.count("</ol>") == 1
    assert page.count("(still to come)") == 3
    assert f'data-kaspi-source="{tracking_path(booked)}"' in page
    assert "<noscript><p>Reload this page to see what is new.</p></noscript>" in page
    assert Template("{% load kaspi_delivery %}{{ 'in_transit'|kaspi_status }}").render(Context()) == "In transit"


@pytest.mark.parametrize(
    ("zone", "time"),
    [("Asia/Almaty", "2026-03-01T17:00:00+05:00"), ("UTC", "2026-03-01T12:00:00+00:00")],
)
def test_times_are_in_the_active_time_zone(booked, zone, time):
    """For people and programs."""
    tracked.stand(booked, "created", ("created", 0, True))
    with timezone.override(zone):
        assert f'<time datetime="{time}">1 March, {time[11:16]}</time>' in show(booked)


@pytest.mark.parametrize(("language", "day"), [("ru", "1 марта, "), ("kk", "1 наурыз, ")])
def test_times_and_words_are_in_the_readers_language(booked, language, day):
    """All of them."""
    tracked.stand(booked, "created", ("created", 0, True), delivery_by=NOON)
    with translation.override(language):
        page = show(booked)
    assert page.count(day) == 2
    assert re.findall(r">[^<>]*[A-Za-z]{2}[^<>]*<", page.replace("Kaspi", "")) == []


def test_before_the_booking_it_is_being_arranged(due):
    """With steps to come; without a delivery, or with a missing variable, it has none."""
    page = show(due.delivery)
    assert "We are arranging your delivery" in page
    assert (page.count("kaspi-ahead"), "aria-current" in page) == (5, False)
    for nothing in (None, ""):
        page = show(nothing)
        assert "We are arranging your delivery" in page
        assert ("data-kaspi-source" in page, "<ol" in page) == (False, False)


@pytest.mark.parametrize("status", ["delivered", "cancelled"])
def test_an_ended_delivery_is_not_reloaded(booked, status):
    """Nothing more is to come."""
    tracked.stand(booked, status, (status, 0, True))
    page = show(booked)
    assert [text for text in ("data-kaspi-source", "noscript", "kaspi-ahead") if text in page] == []


def test_a_late_step_is_marked(booked):
    """In words."""
    tracked.stand(booked, "in_transit", ("in_transit", 5, True), ("accepted", 0, False))
    assert show(booked).count("reported late") == 1


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"status": "in_transit"}, "Expected by:"),
        ({"status": "in_transit", "late": True}, "It takes longer than planned. It was expected by:"),
        ({"status": "delivered"}, ""),
        ({"status": "accepted", "cancel_requested_at": NOON}, ""),
    ],
)
def test_the_expected_time_is_shown_until_the_end(booked, fake_clock, fields, text):
    """Or until it is being cancelled."""
    fake_clock.advance(seconds=1 if fields.pop("late", False) else -1)
    Delivery.objects.update(**fields, delivery_by=NOON)
    assert re.findall(r"\w[\w .]* expected by:|Expected by:", show(booked)) == ([text] if text else [])


@pytest.mark.parametrize(
    ("url", "is_linked"),
    [
        ("https://track.kaspi.kz/1?a=b&c", True),
        ("javascript:alert(1)", False),
        ('https://track.kaspi.kz/"><script>', True),
    ],
)
def test_kaspis_page_is_linked_without_a_referrer(booked, url, is_linked):
    """No other page is linked."""
    Delivery.objects.update(tracking_url=url)
    page = show(booked)
    assert ('rel="noopener noreferrer">Follow the parcel at Kaspi</a>' in page) is is_linked
    assert "<script" not in page
