"""Deliveries that wait for news: each request of a race moves one of its own."""

from django.db import connection
from django.utils import timezone

from kaspi_delivery_django.lifecycle import CREATED
from kaspi_delivery_django.models import Delivery

BATCH = 5000


def delivery_id(number: int) -> str:
    """Return Kaspi's id of the delivery with this number."""
    return f"dlv_race{number:010d}"


def external_order_id(number: int) -> str:
    """Return the order's id at Kaspi."""
    return f"race-{number}"


def add(first: int, count: int) -> None:
    """Write deliveries with the numbers from `first` on, booked and not yet accepted."""
    now = timezone.now()
    waiting = (
        Delivery(
            account="default",
            environment="production",
            content_type_id=1,
            object_id=str(number),
            external_order_id=external_order_id(number),
            delivery_id=delivery_id(number),
            status=CREATED,
            status_at=now,
            next_refresh_at=now,
        )
        for number in range(first, first + count)
    )
    Delivery.objects.bulk_create(waiting, batch_size=BATCH)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def moved(first: int, count: int) -> int:
    """Return how many of them were taken further: all of them, or the race does not count."""
    numbers = [delivery_id(number) for number in range(first, first + count)]
    found = 0
    for start in range(0, count, 500):
        some = Delivery.objects.filter(delivery_id__in=numbers[start : start + 500])
        found += some.exclude(status=CREATED).count()
    return found
