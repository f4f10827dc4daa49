"""The two clocks, and their replacement in tests."""

from datetime import UTC, datetime, timedelta

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import clock
from tests.shop.models import Order

THEN = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)


@pytest.mark.django_db
def test_the_databases_time_is_aware():
    """It is read as UTC, whatever the connection's time zone is."""
    found = clock.database_now("default")
    assert found.utcoffset() == timedelta(0)
    assert abs(found - clock.now()) < timedelta(minutes=1)


@pytest.mark.django_db
def test_both_clocks_are_replaced_and_restored():
    """Also after nested replacements; the database stamps nothing meanwhile."""
    with clock.replaced(lambda: THEN):
        with clock.replaced(lambda: THEN + timedelta(days=1)):
            assert clock.now() == THEN + timedelta(days=1)
        assert (clock.now(), clock.database_now("default"), clock.stamped("queued_at")) == (THEN, THEN, ())
        Order.objects.create()
        assert ApiCall.objects.get().queued_at == clock.now_of(Delivery.objects.get()) == THEN
    assert clock.now() > THEN + timedelta(days=365)
