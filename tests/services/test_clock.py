"""The two clocks, and their replacement in tests."""

from datetime import UTC, datetime, timedelta

import pytest

from kaspi_delivery_django.services import clock

THEN = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)
ALIAS = "default"


@pytest.mark.django_db
def test_the_databases_time_is_aware():
    """It is read as UTC, whatever the connection's time zone is."""
    found = clock.database_now(ALIAS)
    assert found.utcoffset() == timedelta(0)
    assert abs(found - clock.now()) < timedelta(minutes=1)


def test_both_clocks_are_replaced():
    """Without a query."""
    with clock.replaced(lambda: THEN):
        assert (clock.now(), clock.database_now(ALIAS)) == (THEN, THEN)


def test_the_former_clock_is_restored():
    """Also after nested replacements."""
    with clock.replaced(lambda: THEN):
        with clock.replaced(lambda: THEN + timedelta(days=1)):
            assert clock.now() == THEN + timedelta(days=1)
        assert clock.now() == THEN
    assert clock.now() > THEN + timedelta(days=365)
