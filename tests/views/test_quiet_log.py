"""The throttled log: few lines, however often a stranger repeats what causes them."""

import logging

import pytest

from kaspi_delivery_django.views import webhook


class Ticks:
    """A monotonic clock that stands still."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def ticks():
    """Return the clock."""
    return Ticks()


@pytest.fixture
def throttled(ticks):
    """Return a log of its own."""
    return webhook.ThrottledLog(logging.getLogger("tests.throttled"), ticks=ticks)


def test_a_line_is_logged_once_a_minute_with_the_count_of_the_others(throttled, ticks, caplog):
    """Or once in any other interval; each key has its own."""
    for _ in range(100):
        throttled.log(logging.WARNING, "refused: reason=%s", "no signature", key="a")
    throttled.log(logging.ERROR, "hourly", key="b", every_s=webhook.HOUR_S)
    ticks.now += 60
    throttled.log(logging.WARNING, "refused: reason=%s", "no signature", key="a")
    ticks.now += 3539
    throttled.log(logging.ERROR, "hourly", key="b", every_s=webhook.HOUR_S)
    assert [record.getMessage() for record in caplog.records] == [
        "refused: reason=no signature left_out=0",
        "hourly left_out=0",
        "refused: reason=no signature left_out=99",
    ]
