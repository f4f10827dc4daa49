"""The two clocks, and what a test puts in their place."""

from datetime import UTC, datetime, timedelta

import pytest

from kaspi_delivery_django.services import clock

THEN = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)
ALIAS = "default"


@pytest.mark.django_db
def test_the_databases_time_is_aware_and_close_to_ours():
    """Every engine's answer is read as UTC, whatever the time zone of the connection is."""
    found = clock.database_now(ALIAS)
    assert found.utcoffset() == timedelta(0)
    assert abs(found - clock.now()) < timedelta(minutes=1)


def test_both_clocks_are_replaced():
    """The database is not even asked."""
    with clock.replaced(lambda: THEN):
        assert (clock.now(), clock.database_now(ALIAS)) == (THEN, THEN)


def test_what_was_there_before_comes_back():
    """Also when clocks are replaced one inside the other."""
    with clock.replaced(lambda: THEN):
        with clock.replaced(lambda: THEN + timedelta(days=1)):
            assert clock.now() == THEN + timedelta(days=1)
        assert clock.now() == THEN
    assert clock.now() > THEN + timedelta(days=365)
