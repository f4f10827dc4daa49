"""What a shop promises at checkout."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.template import Context, Template

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.stats.estimates import LEAST_PARCELS, Estimate, estimate
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)
CITIES = "Almaty", "Astana"


@pytest.fixture(autouse=True)
def _empty():
    """Begin and end with an empty cache."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def arrive(kaspi, drain):
    """Let parcels to Astana arrive; each takes an hour longer than the one before."""

    def run(count, *, first=1, address="Astana, Kenesary 1"):
        for hours in range(first, first + count):
            Order.objects.create(address=address)
            drain()
            row = Delivery.objects.latest("pk")
            status_at = row.created_at + timedelta(hours=hours)
            Delivery.objects.filter(pk=row.pk).update(
                status="delivered", status_at=status_at, pickup_address="Almaty, Tole bi 2"
            )

    return run


def test_the_shops_own_parcels_are_the_promise(arrive):
    """Half of them took at most ten hours, nine of ten at most eighteen; however the city is written."""
    arrive(20)
    expected = Estimate(p50=timedelta(hours=10), p90=timedelta(hours=18), count=20)
    assert estimate(*CITIES) == expected
    assert estimate("city ALMATY", "astana ") == expected


def test_too_few_parcels_promise_nothing(arrive):
    """Nor do those of another city, or no city."""
    arrive(LEAST_PARCELS - 1)
    arrive(3, address="Aktau, 1 district")
    assert estimate(*CITIES) is None
    assert estimate("Almaty", "Aktau") is None
    assert estimate("Shymkent", "Astana") is None
    assert estimate("", "Astana") is None


def test_parcels_of_another_environment_promise_nothing(arrive):
    """A sandbox's take twenty seconds."""
    arrive(LEAST_PARCELS)
    Delivery.objects.update(environment="production")
    assert estimate(*CITIES) is None


def test_a_city_that_the_template_does_not_know_promises_nothing(arrive):
    """Nor does one without a name break the checkout."""
    assert estimate("Almaty", None) is None
    assert Template('{% load kaspi_delivery %}{% kaspi_estimate "Almaty" city %}').render(Context({"city": None}))


def test_no_parcel_arrives_before_it_was_booked(arrive):
    """Kaspi's clock may be behind ours."""
    arrive(LEAST_PARCELS, first=-30)
    assert estimate(*CITIES) == Estimate(p50=timedelta(0), p90=timedelta(0), count=LEAST_PARCELS)


def test_open_and_old_parcels_do_not_count(arrive, turnable):
    """Nor does one that was cancelled."""
    arrive(20)
    Delivery.objects.filter(pk=Delivery.objects.latest("pk").pk).update(status="cancelled")
    assert estimate(*CITIES) is None
    cache.clear()
    Delivery.objects.update(status="delivered", created_at=turnable.now - timedelta(days=91))
    assert estimate(*CITIES) is None


def test_it_is_counted_once_an_hour(arrive, django_assert_num_queries):
    """A checkout page is asked for often; that there is nothing to promise is remembered too."""
    with django_assert_num_queries(1):
        assert estimate(*CITIES) is None
    with django_assert_num_queries(0):
        assert estimate(*CITIES) is None


def test_the_template_tag(arrive):
    """The page of the checkout says it, or nothing."""
    source = (
        "{% load kaspi_delivery %}{% kaspi_estimate 'Almaty' city as way %}"
        "{% if way %}{{ way.p50|kaspi_duration }} to {{ way.p90|kaspi_duration }}{% endif %}"
    )
    arrive(20)
    assert Template(source).render(Context({"city": "Astana"})) == "10 h to 18 h"
    assert Template(source).render(Context({"city": "Aktau"})) == ""
