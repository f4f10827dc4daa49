"""What a shop promises at checkout."""

from datetime import timedelta

import pytest
from django.template import Context, Template

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.stats.estimates import LEAST_PARCELS, Estimate, estimate
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)
CITIES = "Almaty", "Astana"


@pytest.fixture
def arrive(kaspi, drain):
    """Let parcels arrive; each takes an hour longer than the one before."""

    def run(count, *, first=1, address="Astana, Kenesary 1"):
        Order.objects.create(address=address)
        drain()
        row = Delivery.objects.latest("pk")
        row.pickup_address, row.status = "Almaty, Tole bi 2", "delivered"
        for hours in range(first, first + count):
            row.external_order_id = row.delivery_id = f"{address} {hours}"
            row.generation, row.status_at = count + hours + 100, row.created_at + timedelta(hours=hours)
            row.save()
            row.pk = None

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
    pairs = (CITIES, ("Almaty", "Aktau"), ("Shymkent", "Astana"), ("", "Astana"), ("Almaty", None))
    assert [estimate(*pair) for pair in pairs] == [None] * 5


def test_no_parcel_arrives_before_it_was_booked(arrive):
    """Kaspi's clock may be behind ours."""
    arrive(LEAST_PARCELS, first=-30)
    assert estimate(*CITIES) == Estimate(p50=timedelta(0), p90=timedelta(0), count=LEAST_PARCELS)


@pytest.mark.parametrize(
    "columns", [{"environment": "production"}, {"status": "cancelled"}, {"created_at": timedelta(days=-91)}]
)
def test_parcels_of_another_environment_and_open_and_old_ones_do_not_count(arrive, fake_clock, columns):
    """A sandbox's take twenty seconds; one that was cancelled never arrived."""
    arrive(LEAST_PARCELS)
    for name, value in columns.items():
        changed = fake_clock.now + value if isinstance(value, timedelta) else value
        Delivery.objects.filter(pk=Delivery.objects.latest("pk").pk).update(**{name: changed})
    assert estimate(*CITIES) is None


def test_it_is_counted_once_an_hour(django_assert_num_queries):
    """A checkout page is opened often; that there is nothing to promise is remembered too."""
    for queries in (1, 0):
        with django_assert_num_queries(queries):
            assert estimate(*CITIES) is None


def test_the_template_tag(arrive):
    """The page of the checkout says it, or nothing, also for a city that the template does not know."""
    source = (
        "{% load kaspi_delivery %}{% kaspi_estimate 'Almaty' city as way %}"
        "{% if way %}{{ way.p50|kaspi_duration }} to {{ way.p90|kaspi_duration }}{% endif %}"
    )
    arrive(20)
    shown = [Template(source).render(Context({"city": city})) for city in ("Astana", "Aktau", None)]
    assert shown == ["10 h to 18 h", "", ""]


def test_a_promise_is_not_rounded_down():
    """Nine of ten parcels took at most that long: an hour less would not be true."""
    shown = Template("{% load kaspi_delivery %}{{ time|kaspi_duration }}")
    assert shown.render(Context({"time": timedelta(hours=1, minutes=55)})) == "1 h 55 min"
