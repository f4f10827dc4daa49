"""Bookings that are due: an order, its delivery and its call, built and frozen already or not yet."""

from datetime import timedelta

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.utils import timezone

from kaspi_delivery_django.client import wire
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange
from tests.shop.models import Order

BATCH = 1000
ENVIRONMENT = "sandbox"
PLACE = {"address": "Abay 1, Almaty", "contact": {"name": "Aigerim", "phone": "+7 727 111 0000"}}
PARCEL = {"description": "a parcel", "weightGrams": 500, "valueKzt": 9900}


def add(count: int, *, frozen: bool) -> None:
    """Write so many orders whose booking is due, and nothing else that waits."""
    with transaction.atomic():
        orders = Order.objects.bulk_create([Order() for _ in range(count)], batch_size=BATCH)
        deliveries = Delivery.objects.bulk_create([_delivery(order) for order in orders], batch_size=BATCH)
        calls = (_call(delivery, frozen=frozen) for delivery in deliveries)
        ApiCall.objects.bulk_create(calls, batch_size=BATCH)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def unfinished() -> int:
    """Return how many are not booked, or not told of: none, or the run does not count."""
    waiting = ApiCall.objects.exclude(state=ApiCall.State.DONE)
    unlinked = Delivery.objects.filter(delivery_id__isnull=True)
    steps = StatusChange.objects.filter(to_status="created").count()
    return waiting.count() + unlinked.count() + Delivery.objects.count() - steps


def empty() -> None:
    """Delete them all, so that each run begins as the first one did."""
    for model in (StatusChange, ApiCall, Delivery, Order):
        model._base_manager.all()._raw_delete("default")  # noqa: SLF001  # no cascade is needed


def _delivery(order: Order) -> Delivery:
    return Delivery(
        account="default",
        environment=ENVIRONMENT,
        content_type=ContentType.objects.get_for_model(Order),
        object_id=str(order.pk),
        external_order_id=f"order-{order.pk}",
        order_sha256="",
    )


def _call(delivery: Delivery, *, frozen: bool) -> ApiCall:
    now = timezone.now()
    booking = {"externalOrderId": delivery.external_order_id, "pickup": PLACE, "dropoff": PLACE, "parcel": PARCEL}
    payload = wire.dump(booking) if frozen else ""
    return ApiCall(
        delivery=delivery,
        kind=ApiCall.Kind.CREATE,
        idempotency_key=delivery.external_order_id or "",
        payload=payload,
        payload_sha256=wire.digest(payload) if frozen else "",
        next_attempt_at=now - timedelta(minutes=1),
        queued_at=now,
    )
