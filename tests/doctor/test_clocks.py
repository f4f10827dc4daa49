"""Clocks that agree, that do not, and that cannot be read."""

from datetime import UTC, datetime, timedelta

import pytest

from kaspi_delivery_django.doctor import probes

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("header", ["Sun, 01 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 2026 17:00:00 +0500"])
def test_a_date_is_read_in_utc(header):
    """Whatever its zone."""
    assert probes.read_date(header) == NOON


@pytest.mark.parametrize("header", [None, "", "noon", "Sun, 99 Mar 2026 12:00:00 GMT"])
def test_garbage_is_no_date(header):
    """And breaks nothing."""
    assert probes.read_date(header) is None


@pytest.mark.parametrize(
    ("off", "verdict", "says"),
    [
        (0, "pass", "Within 30 s"),
        (30, "pass", "Within 30 s"),
        (31, "fail", "31 s ahead of Kaspi's"),
        (-400, "fail", "400 s behind Kaspi's"),
    ],
)
def test_kaspis_clock_is_compared(off, verdict, says):
    """Which way it is wrong decides nothing, and is said."""
    found = probes.compare_with_kaspi(NOON + timedelta(seconds=off), NOON, account="default")
    assert (found.verdict, found.account) == (verdict, "default")
    assert says in found.says
    assert ("NTP" in found.todo) is (verdict == "fail")


def test_without_a_date_somebody_must_look():
    """Kaspi promises none."""
    found = probes.compare_with_kaspi(NOON, None, account="default")
    assert (found.verdict, "timedatectl" in found.todo) == ("yours", True)


def test_the_databases_clock_is_compared():
    """Leases go by it."""
    assert probes.compare_with_database(NOON, NOON).verdict == "pass"
    found = probes.compare_with_database(NOON, NOON + timedelta(minutes=2))
    assert (found.verdict, "120 s behind the database's" in found.says) == ("fail", True)
