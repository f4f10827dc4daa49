"""Few lines, however often a stranger repeats what causes them."""

import logging

import pytest

from kaspi_delivery_django.views import webhook
from kaspi_delivery_django.views.webhook import ThrottledLog


class Ticks:
    """A clock that stands still."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def ticks():
    """Return the clock."""
    return Ticks()


@pytest.fixture
def quiet(ticks):
    """Return a log of its own."""
    return ThrottledLog(logging.getLogger("tests.quiet"), ticks=ticks)


def test_a_line_comes_once_a_minute_with_the_count_of_the_others(quiet, ticks, caplog):
    """Nothing is lost but the repetition."""
    for _ in range(100):
        quiet.log(logging.WARNING, "refused: reason=%s", "no signature", key="a")
    ticks.now += 60
    quiet.log(logging.WARNING, "refused: reason=%s", "no signature", key="a")
    assert [record.getMessage() for record in caplog.records] == [
        "refused: reason=no signature left_out=0",
        "refused: reason=no signature left_out=99",
    ]


def test_each_key_has_its_own_minute(quiet, caplog):
    """One reason does not hide another."""
    for key in ("a", "b", "a", "b"):
        quiet.log(logging.WARNING, "refused", key=key)
    assert len(caplog.records) == 2


def test_an_hour_can_be_asked_for(quiet, ticks, caplog):
    """For what would be mailed."""
    quiet.log(logging.ERROR, "refused", key="a", every_s=webhook.HOUR_S)
    ticks.now += 3599
    quiet.log(logging.ERROR, "refused", key="a", every_s=webhook.HOUR_S)
    assert len(caplog.records) == 1


def test_many_keys_share_one_at_last(quiet, monkeypatch, caplog):
    """The memory is bounded, whatever becomes a key."""
    monkeypatch.setattr(webhook, "MAX_KEYS", 2)
    for key in ("a", "b", "c", "d", "e"):
        quiet.log(logging.WARNING, "refused", key=key)
    assert len(caplog.records) == 3
