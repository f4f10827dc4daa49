"""A status and a span of time in words, in the reader's language."""

from datetime import timedelta

import pytest
from django.utils import translation

from kaspi_delivery_django import statuses
from kaspi_delivery_django.statuses import duration_label, exact_duration_label, status_label

ENGLISH = {
    "": "Not booked yet",
    "created": "Created",
    "accepted": "Accepted",
    "in_transit": "In transit",
    "out_for_delivery": "Out for delivery",
    "delivered": "Delivered",
    "cancelled": "Cancelled",
}


def test_every_known_status_is_named():
    """The table below leaves no status of the lifecycle out."""
    assert set(ENGLISH) == set(statuses.RANKS)


@pytest.mark.parametrize("status", ENGLISH)
def test_a_status_is_named_in_english(status):
    """A known status reads as words."""
    with translation.override("en"):
        assert status_label(status) == ENGLISH[status]


@pytest.mark.parametrize("status", ENGLISH)
@pytest.mark.parametrize("language", ["ru", "kk"])
def test_a_status_is_named_in_the_readers_language(status, language):
    """The name is chosen when it is asked for, and is a plain text."""
    with translation.override(language):
        name = status_label(status)
    assert type(name) is str
    assert name != ENGLISH[status]


@pytest.mark.parametrize("status", ["returned", "RETURNED_TO_SENDER", "Created"])
def test_an_unknown_status_stays_as_it_came(status):
    """A word that Kaspi adds tomorrow is shown, not hidden."""
    with translation.override("ru"):
        assert status_label(status) == status


@pytest.mark.parametrize(
    ("time", "english", "russian"),
    [
        (timedelta(0), "0 s", "0 сек"),
        (timedelta(seconds=-5), "0 s", "0 сек"),
        (timedelta(seconds=59), "59 s", "59 сек"),
        (timedelta(minutes=59, seconds=59), "59 min", "59 мин"),
        (timedelta(minutes=60), "1 h", "1 ч"),
        (timedelta(hours=47, minutes=59), "47 h", "47 ч"),
        (timedelta(days=2), "2 d", "2 д"),
        (timedelta(days=30, hours=5), "30 d", "30 д"),
    ],
)
def test_a_span_of_time_has_one_unit(time, english, russian):
    """The largest that fits, short enough for a column."""
    with translation.override("en"):
        assert duration_label(time) == english
    with translation.override("ru"):
        assert duration_label(time).startswith(russian)


@pytest.mark.parametrize(
    ("seconds", "english", "russian", "kazakh"),
    [
        (0, "0 s", "0 сек", "0 сек"),
        (20, "20 s", "20 сек", "20 сек"),
        (59.6, "1 min", "1 мин", "1 мин"),
        (725, "12 min 5 s", "12 мин 5 сек", "12 мин 5 сек"),
        (3661, "1 h 1 min", "1 ч 1 мин", "1 сағ 1 мин"),
        (3600 + 59.9, "1 h 1 min", "1 ч 1 мин", "1 сағ 1 мин"),
        (108_300, "30 h 5 min", "30 ч 5 мин", "30 сағ 5 мин"),
        (3 * 86_400, "3 d", "3 д", "3 күн"),
        (100 * 3600, "4 d 4 h", "4 д 4 ч", "4 күн 4 сағ"),
    ],
)
def test_a_figure_is_in_the_units_that_fit(seconds, english, russian, kazakh):
    """Two at most: nothing that took a while took 0 of anything."""
    for language, text in (("en", english), ("ru", russian), ("kk", kazakh)):
        with translation.override(language):
            assert exact_duration_label(timedelta(seconds=seconds)) == text
