"""What a shop's own templates say of deliveries."""

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
    """Render the tag in a template of the shop's."""
    template = Template("{% load kaspi_delivery %}<section>{% kaspi_timeline delivery %}</section>")
    return template.render(Context({"delivery": delivery}))


def test_a_status_is_said_in_words():
    """`{{ delivery.status|kaspi_status }}`."""
    assert Template("{% load kaspi_delivery %}{{ 'in_transit'|kaspi_status }}").render(Context()) == "In transit"


def test_the_steps_are_an_ordered_list_with_the_current_one_marked(booked):
    """Also for who does not see it."""
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


def test_times_are_those_of_the_moment(booked):
    """In the time zone that the shop has activated, and as a machine reads them too."""
    tracked.stand(booked, "created", ("created", 0, True))
    with timezone.override("Asia/Almaty"):
        assert '<time datetime="2026-03-01T17:00:00+05:00">1 March, 17:00</time>' in show(booked)
    with timezone.override("UTC"):
        assert '<time datetime="2026-03-01T12:00:00+00:00">1 March, 12:00</time>' in show(booked)


@pytest.mark.parametrize(("language", "day"), [("ru", "1 марта, "), ("kk", "1 наурыз, ")])
def test_times_and_words_are_in_the_readers_language(booked, language, day):
    """All of them."""
    tracked.stand(booked, "created", ("created", 0, True), delivery_by=NOON)
    with translation.override(language):
        page = show(booked)
    assert page.count(day) == 2
    assert re.findall(r">[^<>]*[A-Za-z]{2}[^<>]*<", page.replace("Kaspi", "")) == []


@pytest.mark.parametrize("delivery", [None, ""])
def test_without_a_delivery_it_is_being_arranged(delivery):
    """Also where the template's variable is not there at all."""
    page = show(delivery)
    assert "We are arranging your delivery" in page
    assert "data-kaspi-source" not in page
    assert "<ol" not in page


def test_before_the_booking_it_is_being_arranged(due):
    """The steps are there, all to come."""
    page = show(due.delivery)
    assert "We are arranging your delivery" in page
    assert page.count("kaspi-ahead") == 5
    assert "aria-current" not in page


def test_an_open_delivery_says_where_its_news_are(booked):
    """The script looks there; without one the page says what to do."""
    page = show(booked)
    assert f'data-kaspi-source="{tracking_path(booked)}"' in page
    assert "<noscript><p>Reload this page to see what is new.</p></noscript>" in page


@pytest.mark.parametrize("status", ["delivered", "cancelled"])
def test_an_ended_delivery_is_not_looked_at_again(booked, status):
    """There is nothing more to come."""
    tracked.stand(booked, status, (status, 0, True))
    page = show(booked)
    assert "data-kaspi-source" not in page
    assert "noscript" not in page
    assert "kaspi-ahead" not in page


def test_late_news_is_marked(booked):
    """In words."""
    tracked.stand(booked, "in_transit", ("in_transit", 5, True), ("accepted", 0, False))
    assert show(booked).count("reported late") == 1


def test_a_word_that_is_new_to_us_is_shown(booked):
    """As text, whatever it is."""
    tracked.stand(booked, "<b>returned</b>", ("<b>returned</b>", 0, True))
    page = show(booked)
    assert page.count("&lt;b&gt;returned&lt;/b&gt;") == 4
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"status": "in_transit"}, "Expected by:"),
        ({"status": "in_transit", "late": True}, "It takes longer than planned. It was expected by:"),
        ({"status": "delivered"}, ""),
        ({"status": "accepted", "cancel_requested_at": NOON}, ""),
    ],
)
def test_the_expected_time_is_told_while_it_means_something(booked, turnable, fields, text):
    """Neither after the end nor while it is being cancelled."""
    turnable.turn(seconds=1 if fields.pop("late", False) else -1)
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
    """And nothing else is."""
    Delivery.objects.update(tracking_url=url)
    page = show(booked)
    assert ('rel="noopener noreferrer">Follow the parcel at Kaspi</a>' in page) is is_linked
    assert "<script" not in page
