import pytest

from kaspi_delivery_django.client.protocol import read_retry_after
from tests.conftest import NOON


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (" 7 ", 7.0),
        ("007", 7.0),
        ("0", 1.0),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("9" * 400, 3600.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 17:00:30 +0500", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun Mar  1 12:00:30 2026", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 1.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 3600.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 1.0),
    ],
)
def test_retry_after(value, seconds):
    """Seconds and HTTP dates are read, and clamped to 1 s … 1 h."""
    assert read_retry_after(value, NOON) == seconds


WORDS = [
    "",
    "soon",
    "-5",
    "1.5",
    "5, 6",
    "٣",
    "²",
    "2026-03-01T12:00:30Z",
    "\0",
]
DATES = ["Sun, 32 Mar 2026 12:00:30 GMT", "Sun, 01 Mar 99999 12:00:30 GMT", "Sun, 01 Mar 2026 12:00:30 +" + "9" * 20]


@pytest.mark.parametrize("value", [None, *WORDS, *DATES])
def test_garbage(value):
    """Anything else is None: the caller backs off on its own."""
    assert read_retry_after(value, NOON) is None
