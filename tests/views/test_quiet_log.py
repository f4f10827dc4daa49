"""The throttled log: few lines, however often a stranger repeats what causes them."""

import logging

import pytest

from kaspi_delivery_django.views import webhook


@pytest.fixture
def throttled(fake_clock):
    """Return a log of its own."""
    return webhook.ThrottledLog(logging.getLogger("tests.throttled"), ticks=fake_clock.timestamp)


def test_a_line_is_logged_once_a_minute_with_the_count_of_the_others(throttled, fake_clock, caplog):
    """Or once in any other interval; each key has its own."""
    for _ in range(100):
        throttled.log(logging.WARNING, "refused: reason=%s", "no signature", key="a")
    throttled.log(logging.ERROR, "hourly", key="b", every_s=webhook.HOUR_S)
    fake_clock.advance(seconds=60)
    throttled.log(logging.WARNING, "refused: reason=%s", "no signature", key="a")
    fake_clock.advance(seconds=3539)
    throttled.log(logging.ERROR, "hourly", key="b", every_s=webhook.HOUR_S)
    assert [record.getMessage() for record in caplog.records] == [
        "refused: reason=no signature left_out=0",
        "hourly left_out=0",
        "refused: reason=no signature left_out=99",
    ]
