"""The year's webhooks and status changes, and the few events that wait for a person."""

from benchmarks.year.deliveries import texts
from benchmarks.year.inserts import Insert
from kaspi_delivery_django import lifecycle
from kaspi_delivery_django.models import Delivery, StatusChange, WebhookEvent

EVENTS, STEPS, LATE = 3, 5, 6
TOLD = {
    lifecycle.DELIVERED: (lifecycle.ACCEPTED, lifecycle.IN_TRANSIT, lifecycle.DELIVERED),
    lifecycle.CANCELLED: (lifecycle.CREATED, lifecycle.ACCEPTED, lifecycle.CANCELLED),
}
UNDER_WAY = (lifecycle.CREATED, lifecycle.ACCEPTED, lifecycle.IN_TRANSIT)
LETTERS = (
    *("parked",) * 10,
    *("failed",) * 6,
    *("conflict",) * 4,
    *("acknowledged",) * 6,
    *("ignored",) * 4,
)

_RANK = f"array_position({texts(lifecycle.STATUSES[:-1])}, d.status)"
_WORD = f"""CASE d.status WHEN '{lifecycle.DELIVERED}' THEN {texts(TOLD[lifecycle.DELIVERED])}[k]
    WHEN '{lifecycle.CANCELLED}' THEN {texts(TOLD[lifecycle.CANCELLED])}[k] ELSE {texts(UNDER_WAY)}[k] END"""
_OCCURRED = f"d.created_at + (d.status_at - d.created_at) * k / {EVENTS}"
_BODY = (
    """'{"eventId":"wh_' || left(md5(k || 'event' || d.id), 16) || '","type":"delivery.' || word || '","attempt":1,'"""
    """ || '"data":{"deliveryId":"' || d.delivery_id || '","externalOrderId":"' || d.external_order_id"""
    """ || '","status":"' || word || '","timestamp":"' || occurred || '"}}'"""
)
EVENT_COLUMNS = {
    "id": f"(d.id - 1) * {EVENTS} + k",
    "account": "d.account",
    "environment": "d.environment",
    "event_id": "'wh_' || left(md5(k || 'event' || d.id), 16)",
    "type": "'delivery.' || word",
    "attempt": "1 + (mod(d.id, 50) = 0)::int",
    "received_count": "1 + (mod(d.id, 70) = 0)::int",
    "body": _BODY,
    "kaspi_delivery_id": "d.delivery_id",
    "external_order_id": "d.external_order_id",
    "occurred_at": "occurred",
    "delivery_id": "d.id",
    "state": "CASE WHEN k = 2 AND mod(d.id, 40) = 0 THEN 'noted' ELSE 'applied' END",
    "received_at": "occurred + interval '1 second'",
    "applied_at": "occurred + interval '1 second'",
}
LETTER_COLUMNS = {
    "id": f"d.id * {EVENTS} + k",
    "account": "d.account",
    "environment": "d.environment",
    "event_id": "'wh_letter_' || k",
    "type": "CASE letter WHEN 'ignored' THEN 'ping' ELSE 'delivery.delivered' END",
    "attempt": "1 + mod(k, 3)",
    "body": "'{}'",
    "kaspi_delivery_id": "'dlv_of_nobody_' || k",
    "external_order_id": "'order-of-nobody-' || k",
    "occurred_at": "now() - k * interval '1 day'",
    "delivery_id": "CASE WHEN letter = 'failed' THEN d.id END",
    "state": "letter",
    "error": "CASE letter WHEN 'parked' THEN '' ELSE 'no delivery has this id' END",
    "received_at": "now() - k * interval '1 day'",
}
_LAST = f"""CASE d.status WHEN '{lifecycle.DELIVERED}' THEN {STEPS} WHEN '{lifecycle.CANCELLED}' THEN 2
    ELSE {_RANK} END"""
_STEPS = f"""CASE WHEN d.status = '{lifecycle.CANCELLED}' THEN ARRAY['created', 'cancelled']
    ELSE {texts(lifecycle.STATUSES[:-1])} END"""
HISTORY_COLUMNS = {
    "id": f"(d.id - 1) * {LATE} + k",
    "delivery_id": "d.id",
    "from_status": f"CASE k WHEN 1 THEN '' WHEN {LATE} THEN d.status ELSE steps[k - 1] END",
    "to_status": f"CASE k WHEN {LATE} THEN 'accepted' ELSE steps[k] END",
    "at": "at",
    "source": "CASE k WHEN 1 THEN 'create' WHEN 4 THEN 'refresh' ELSE 'webhook' END",
    "event_id": f"CASE WHEN d.status = '{lifecycle.DELIVERED}' THEN (d.id - 1) * {EVENTS}"
    " + CASE k WHEN 2 THEN 1 WHEN 3 THEN 2 WHEN 5 THEN 3 END END",
    "applied": f"k < {LATE}",
    "notified_at": f"CASE WHEN k < {LATE} AND at < now() - interval '3 minutes' THEN at + interval '2 seconds' END",
    "notify_after": "at + interval '1 minute'",
    "created_at": "at + interval '1 second'",
}


def inserts() -> list[Insert]:
    """Return the news of the deliveries that are there: three webhooks and five steps for most."""
    deliveries = f"{Delivery._meta.db_table} d"
    booked = "d.status > ''"
    told = f"""{deliveries} CROSS JOIN generate_series(1, {EVENTS}) k
        CROSS JOIN LATERAL (SELECT {_WORD} AS word, {_OCCURRED} AS occurred) news
        WHERE {booked} AND (d.status IN ('delivered', 'cancelled') OR k <= {_RANK}) ORDER BY d.id, k"""
    letters = f"""(SELECT * FROM {deliveries} ORDER BY id DESC LIMIT 1) d
        CROSS JOIN unnest({texts(LETTERS)}) WITH ORDINALITY letters (letter, k)"""
    steps = f"""{deliveries} CROSS JOIN generate_series(1, {LATE}) k
        CROSS JOIN LATERAL (SELECT {_LAST} AS last, {_STEPS} AS steps) path
        CROSS JOIN LATERAL (
            SELECT d.created_at + (d.status_at - d.created_at) * least(1, (k - 1.0) / greatest(last - 1, 1)) AS at
        ) clock
        WHERE {booked} AND (k <= last OR k = {LATE} AND mod(d.id, 40) = 0) ORDER BY d.id, k"""
    return [
        Insert(model=WebhookEvent, columns=EVENT_COLUMNS, source=told),
        Insert(model=WebhookEvent, columns=LETTER_COLUMNS, source=letters),
        Insert(model=StatusChange, columns=HISTORY_COLUMNS, source=steps),
    ]
