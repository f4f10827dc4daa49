"""Durations as operators write and read them."""

from argparse import ArgumentTypeError

import pytest

from kaspi_delivery_django.management.argtypes import format_duration, seconds


@pytest.mark.parametrize(
    ("text", "length_s"), [("90s", 90), ("15m", 900), ("3h", 10_800), ("365d", 31_536_000), ("31536000s", 31_536_000)]
)
def test_a_duration_is_a_number_and_a_unit(text, length_s):
    """Seconds, minutes, hours or days."""
    assert seconds(text) == length_s


@pytest.mark.parametrize(
    "text", ["", "15", "m", "-1m", "0s", "1.5h", "1h30m", "15 m", "15M", "٣h", "366d", "9" * 400 + "s"]
)
def test_anything_else_says_how_to_write_one(text):
    """Nor may it be longer than a year."""
    with pytest.raises(ArgumentTypeError, match="as in 15m"):
        seconds(text)


@pytest.mark.parametrize(
    ("length_s", "words"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (900, "15 min"),
        (930.5, "15 min 30 s"),
        (86_700, "1 d 5 min"),
        (97_261, "1 d 3 h"),
    ],
)
def test_a_duration_is_said_in_two_parts(length_s, words):
    """The greatest that it has."""
    assert format_duration(length_s) == words
