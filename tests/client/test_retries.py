from datetime import UTC, datetime

import pytest

from kaspi_delivery_django.client.retries import backoff_s, read_retry_after

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attempt", "randomness", "expected"),
    [
        (1, 1.0, 2.0),
        (1, 0.0, 1.0),
        (1, 0.5, 1.5),
        (2, 1.0, 4.0),
        (3, 1.0, 8.0),
        (9, 1.0, 512.0),
        (10, 1.0, 900.0),
        (10, 0.0, 450.0),
        (10_000, 1.0, 900.0),
        (0, 1.0, 2.0),
        (-5, 1.0, 2.0),
    ],
)
def test_backoff(attempt, randomness, expected):
    """The delay doubles from 2 s to 15 min; half of it is jitter."""
    assert backoff_s(attempt, randomness) == expected


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("007", 7.0),
        ("0", 1.0),
        ("1", 1.0),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("9" * 400, 3600.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 17:00:30 +0500", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun Mar  1 12:00:30 2026", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 1.0),
        ("Mon, 02 Mar 2026 12:00:00 GMT", 3600.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 3600.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 1.0),
    ],
)
def test_retry_after(value, seconds):
    """Seconds and HTTP dates are read, and clamped to 1 s … 1 h."""
    assert read_retry_after(value, NOON) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "   ",
        "soon",
        "-5",
        "+5",
        "1.5",
        "5 s",
        "5, 6",
        "0x10",
        "٣",
        "²",
        "NaN",
        "Infinity",
        "Sun, 32 Mar 2026 12:00:30 GMT",
        "Sun, 01 Mar 99999 12:00:30 GMT",
        "Sun, 01 Mar 2026 12:00:30 +99999999999999999999",
        "2026-03-01T12:00:30Z",
        "\0",
    ],
)
def test_garbage(value):
    """Anything else is None: the caller backs off on its own."""
    assert read_retry_after(value, NOON) is None
