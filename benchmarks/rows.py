"""Orders, deliveries and webhooks that benchmarks create for each measurement."""

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.services.deliveries import identities
from kaspi_delivery_django.statuses import CREATED
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order

BATCH = 1000
SECRET = "a-webhook-secret-of-thirty-two-chars-or-more"
PLACE = {"address": "Abay 1, Almaty", "contact": {"name": "Aigerim", "phone": "+7 727 111 0000"}}
PARCEL = {"description": "a parcel", "weightGrams": 500, "valueKzt": 9900}


class EverythingAdapter(OrderAdapter):
    """The test shop's adapter, with all orders as those that may lack a delivery."""

    def orders_to_enqueue(self) -> QuerySet[Order]:
        """Return all orders."""
        return Order.objects.all()


def add_booked(count: int) -> list[int]:
    """Create orders whose delivery Kaspi has booked; return the orders' keys."""
    now = timezone.now()
    with transaction.atomic():
        deliveries = [_delivery(order) for order in _orders(count)]
        for delivery in deliveries:
            delivery.delivery_id = _delivery_id(delivery.object_id)
            delivery.status, delivery.status_at, delivery.next_refresh_at = CREATED, now, now + timedelta(hours=1)
        Delivery.objects.bulk_create(deliveries, batch_size=BATCH)
    execute("ANALYZE")
    return [int(delivery.object_id) for delivery in deliveries]


def add_due(count: int, *, is_built: bool) -> list[int]:
    """Create orders whose booking is due, with or without its payload; return the calls' keys."""
    with transaction.atomic():
        deliveries = Delivery.objects.bulk_create(map(_delivery, _orders(count)), batch_size=BATCH)
        calls = [_call(delivery, is_built=is_built) for delivery in deliveries]
        ApiCall.objects.bulk_create(calls, batch_size=BATCH)
    execute("ANALYZE")
    return [call.pk for call in calls]


def execute(*statements: str) -> None:
    """Execute SQL statements."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def last() -> int:
    """Return the key of the newest delivery."""
    return Delivery.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def remove_after(newest: int) -> None:
    """Delete the deliveries with greater keys, their orders and all that belongs to them."""
    added = Delivery.objects.filter(pk__gt=newest)
    orders = list(added.values_list("object_id", flat=True))
    WebhookEvent.objects.filter(delivery_id__gt=newest).delete()
    added.delete()
    Order.objects.filter(pk__in=orders).delete()


def moved(orders: Sequence[int]) -> int:
    """Return how many deliveries of these orders have left the status `created`."""
    deliveries = Delivery.objects.filter(delivery_id__in=[_delivery_id(str(order)) for order in orders])
    return deliveries.exclude(status=CREATED).count()


def webhooks(orders: Sequence[int], *, secret: str = SECRET) -> Iterator[tuple[dict[str, str], bytes]]:
    """Yield headers and body of what Kaspi posts when a courier accepts these orders."""
    at = datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    for number in orders:
        order = {"deliveryId": _delivery_id(str(number)), "externalOrderId": f"order-{number}"}
        data = {**order, "status": "accepted", "timestamp": at}
        event = {"eventId": f"wh_{uuid.uuid4().hex}", "type": "delivery.accepted", "attempt": 1, "data": data}
        body = json.dumps(event).encode()
        stamp = str(int(time.time()))
        yield {"X-Kaspi-Timestamp": stamp, "X-Kaspi-Signature": mac(secret, stamp, body)}, body


def mac(secret: str, stamp: str, body: bytes) -> str:
    """Return the HMAC that Kaspi and Stripe send with a webhook."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def statements(captured: CaptureQueriesContext) -> int:
    """Count the statements without BEGIN and COMMIT."""
    return sum(not query["sql"].startswith(("BEGIN", "COMMIT")) for query in captured.captured_queries)


def _delivery_id(object_id: str) -> str:
    return f"dlv_new{object_id}"


def _orders(count: int) -> list[Order]:
    return Order.objects.bulk_create([Order() for _ in range(count)], batch_size=BATCH)


def _delivery(order: Order) -> Delivery:
    """Build the row that a save of the order adds, which the worker takes as it is."""
    own = identities.identity_of(identities.adapter_of(order), order).columns()
    return Delivery(**own, content_type=ContentType.objects.get_for_model(Order), object_id=str(order.pk))


def _call(delivery: Delivery, *, is_built: bool) -> ApiCall:
    now = timezone.now()
    booking = {"externalOrderId": delivery.external_order_id, "pickup": PLACE, "dropoff": PLACE, "parcel": PARCEL}
    payload = json.dumps(booking) if is_built else ""
    return ApiCall(
        delivery=delivery,
        kind=ApiCall.Kind.CREATE,
        idempotency_key=delivery.external_order_id or "",
        payload=payload,
        payload_sha256=hashlib.sha256(payload.encode()).hexdigest() if is_built else "",
        next_attempt_at=now - timedelta(minutes=1),
        queued_at=now,
    )
