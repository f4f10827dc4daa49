"""A shop's past on either engine: deliveries that have ended, spread over a year, with five events for each."""

from collections.abc import Callable

from django.core.management.color import no_style
from django.db import connection

from benchmarks.year.inserts import Insert
from kaspi_delivery_django.lifecycle import CANCELLED, DELIVERED, OPEN
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from tests.shop.models import Order

EVENTS = 5
YEAR_MINUTES = 365 * 24 * 60
TABLES = (Order, Delivery, ApiCall, WebhookEvent, StatusChange)
QUICKLY = {
    "sqlite": ("PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "PRAGMA cache_size=-1000000"),
    "postgresql": ("SET synchronous_commit TO off",),
}
AFTERWARDS = {"sqlite": ("PRAGMA journal_mode=WAL", "ANALYZE"), "postgresql": ("VACUUM (ANALYZE)", "CHECKPOINT")}
BODY = """'{"eventId":"wh_' || d.id || '_' || k || '","type":"delivery.' || word || '","attempt":1,"data":'
    || '{"deliveryId":"' || d.delivery_id || '","externalOrderId":"' || d.external_order_id || '","status":"' || word
    || '","timestamp":"2026-01-01T00:00:00Z"}}'"""
PAYLOAD = """'{"externalOrderId":"' || d.external_order_id || '","pickup":{"address":"Almaty, Tole bi 2","contact":'
    || '{"name":"Warehouse","phone":"+7 727 222 0000"}},"dropoff":{"address":"' || d.dropoff_address
    || '","contact":{"name":"Aigerim","phone":"' || d.dropoff_phone || '"}},"parcel":{"description":"Books"}}'"""
DELIVERIES = {
    "id": "n",
    "account": "'default'",
    "environment": "'production'",
    "content_type_id": "kind.id",
    "object_id": "CAST(n AS varchar(64))",
    "external_order_id": "'order-' || n",
    "delivery_id": "'dlv_' || (n * 2654435761 %% 4294967296)",  # in no order, as Kaspi's are
    "status": f"CASE WHEN n %% 20 = 7 THEN '{CANCELLED}' ELSE '{DELIVERED}' END",
    "dropoff_address": "'Almaty, Abay ' || n %% 200 || ', flat ' || n %% 90",
    "dropoff_name": "'Aigerim'",
    "dropoff_phone": "'+7701' || (n * 7919 %% 8999999 + 1000000)",
    "phone_tail": "CAST(n * 7919 %% 8999999 + 1000000 AS varchar(7)) || '107'",
    "raw": """'{"deliveryId":"' || n || '","status":"delivered","trackingUrl":"https://track.kaspi.kz/' || n || '"}'""",
}
CALLS = {
    "delivery_id": "d.id",
    "kind": "'create'",
    "idempotency_key": "d.external_order_id",
    "payload": PAYLOAD,
    "state": "CASE WHEN d.id %% 50 = 7 THEN 'abandoned' ELSE 'done' END",
    "attempts": "1",
    "queued_at": "d.created_at",
    "created_at": "d.created_at",
    "updated_at": "d.created_at",
}
NEWS = {
    "id": f"(d.id - 1) * {EVENTS} + k",
    "account": "d.account",
    "environment": "d.environment",
    "event_id": f"'wh_' || (((d.id - 1) * {EVENTS} + k) * 2654435761 %% 4294967296)",
    "type": "'delivery.' || word",
    "body": BODY,
    "kaspi_delivery_id": "d.delivery_id",
    "external_order_id": "d.external_order_id",
    "occurred_at": "d.created_at",
    "delivery_id": "d.id",
    "state": "CASE WHEN d.id %% 50 = 7 THEN 'noted' ELSE 'applied' END",
    "received_at": "d.created_at",
    "applied_at": "d.created_at",
}
HISTORY = {
    "id": f"(d.id - 1) * {EVENTS} + k",
    "delivery_id": "d.id",
    "from_status": "before",
    "to_status": "word",
    "at": "d.created_at",
    "source": "'webhook'",
    "event_id": f"(d.id - 1) * {EVENTS} + k",
    "notified_at": "d.created_at",
    "notify_after": "d.created_at",
    "created_at": "d.created_at",
}


def fill(rows: int, say: Callable[[str], None], *, events: int = EVENTS) -> None:
    """Write so many deliveries, up to five events for each, and let the planner know its tables."""
    _execute(*QUICKLY[connection.vendor])
    for insert in inserts(rows, events):
        say(f"{insert.run():>9,} {insert.model._meta.verbose_name_plural}")
    _execute(*connection.ops.sequence_reset_sql(no_style(), list(TABLES)), *AFTERWARDS[connection.vendor])
    connection.close()  # what made it quick goes with it


def inserts(rows: int, events: int) -> list[Insert]:
    """Return the past: an order, a delivery, a call, and the same number of events and steps for each."""
    numbers = _numbers(rows)
    deliveries = f"{Delivery._meta.db_table} d"
    steps = f"({_steps(events)}) steps"
    times = dict.fromkeys(("status_at", "created_at", "updated_at"), _ago(f"({rows} - n) * {YEAR_MINUTES} / {rows}"))
    booked = Insert(
        model=Delivery,
        columns={**DELIVERIES, **times},
        source=f"{numbers}, (SELECT id FROM django_content_type WHERE app_label = 'shop' AND model = 'order') kind",
    )
    return [
        Insert(model=Order, columns={"id": "n"}, source=numbers),
        booked,
        Insert(model=ApiCall, columns=CALLS, source=f"{deliveries} ORDER BY d.id"),
        Insert(model=WebhookEvent, columns=NEWS, source=f"{deliveries} CROSS JOIN {steps} ORDER BY d.id, k"),
        Insert(model=StatusChange, columns=HISTORY, source=f"{deliveries} CROSS JOIN {steps} ORDER BY d.id, k"),
    ]


def _numbers(rows: int) -> str:
    counted = "SELECT CAST(1 AS bigint) AS n UNION ALL SELECT n + 1 FROM counted WHERE n < "
    return f"(WITH RECURSIVE counted AS ({counted}{rows}) SELECT n FROM counted) numbers"


def _steps(count: int) -> str:
    words = (*OPEN, DELIVERED)[-count:]
    before = ("", *words)
    return " UNION ALL ".join(
        f"SELECT {k} AS k, '{word}' AS word, '{before[k - 1]}' AS before" for k, word in enumerate(words, start=1)
    )


def _ago(minutes: str) -> str:
    if connection.vendor == "sqlite":
        return f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '-' || ({minutes}) || ' minutes')"
    return f"now() - ({minutes}) * interval '1 minute'"


def _execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
