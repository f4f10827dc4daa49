"""A shop's past year on either engine, written by SQL: deliveries that have ended, with calls, events and steps.

`add_rare` adds what staff look for: open and flagged deliveries, dead letters, other accounts.
"""

from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise

from django.core.management.color import no_style
from django.db import connection
from django.db.models import Model
from django.utils import timezone

from benchmarks import databases
from benchmarks.rounds import log
from benchmarks.rows import execute
from kaspi_delivery_django.models import (
    AccountState,
    ApiCall,
    Attention,
    Delivery,
    FailedAttempt,
    PendingAction,
    StatusChange,
    WebhookEvent,
)
from kaspi_delivery_django.statuses import ACCEPTED, CANCELLED, DELIVERED, IN_TRANSIT, OPEN, RANKS
from tests.shop.models import Order

EVENTS = 5
YEAR_MINUTES = 365 * 24 * 60
TABLES = (Order, Delivery, ApiCall, WebhookEvent, StatusChange)
RARE = 20
OTHERS = 30
DUE = 15
FAST = {
    "sqlite": ("PRAGMA synchronous=OFF", "PRAGMA cache_size=-1000000"),
    "postgresql": ("SET synchronous_commit TO off",),
}
AFTERWARDS = {"sqlite": ("ANALYZE",), "postgresql": ("VACUUM (ANALYZE)", "CHECKPOINT")}
BODY = """'{"eventId":"wh_' || d.id || '_' || k || '","type":"delivery.' || word || '","attempt":1,"data":'
    || '{"deliveryId":"' || d.delivery_id || '","externalOrderId":"' || d.external_order_id || '","status":"' || word
    || '","timestamp":"2026-01-01T00:00:00Z"}}'"""
PAYLOAD = """'{"externalOrderId":"' || d.external_order_id || '","pickup":{"address":"Almaty, Tole bi 2","contact":'
    || '{"name":"Warehouse","phone":"+7 727 222 0000"}},"dropoff":{"address":"' || d.dropoff_address
    || '","contact":{"name":"Aigerim","phone":"' || d.dropoff_phone || '"}},"parcel":{"description":"Books"}}'"""
DIGITS = "CAST(n * 7919 %% 8999999 + 1000000 AS varchar(7))"
SURNAME = "'omarova' || (n %% 5000)"  # SQLite joins texts before it divides
IS_CANCELLED = "n %% 20 = 7"
DELIVERIES = {
    "id": "n",
    "account": "'default'",
    "environment": "'sandbox'",
    "content_type_id": "kind.id",
    "object_id": "CAST(n AS varchar(64))",
    "external_order_id": "'order-' || n",
    "external_key": "CAST(n AS varchar(64))",
    "order_label": "'No. 2026-' || n",
    "label_is_personal": "FALSE",
    "label_key": "'2026 ' || n",
    "delivery_id": "'dlv_' || (n * 2654435761 %% 4294967296)",  # in no order, as Kaspi's are
    "status": f"CASE WHEN {IS_CANCELLED} THEN '{CANCELLED}' ELSE '{DELIVERED}' END",
    "dropoff_address": "'Almaty, Abay ' || (n %% 200) || ', flat ' || (n %% 90)",
    "dropoff_name": f"'Aigerim ' || {SURNAME}",
    "name_key": f"'aigerim ' || {SURNAME}",
    "surname_key": f"{SURNAME} || ' aigerim'",
    "city_key": "'almaty'",
    "dropoff_phone": f"'+7701' || {DIGITS}",
    "phone_tail": " || ".join([*(f"substr({DIGITS}, {place}, 1)" for place in range(7, 0, -1)), "'107'"]),
    "raw": """'{"deliveryId":"' || n || '","status":"delivered","trackingUrl":"https://track.kaspi.kz/' || n || '"}'""",
    "cancel_reason": f"CASE WHEN {IS_CANCELLED} THEN 'changed their mind' ELSE '' END",
}
CALLS = {
    "id": "d.id",
    "delivery_id": "d.id",
    "kind": "'create'",
    "idempotency_key": "d.external_order_id",
    "payload": PAYLOAD,
    "state": "CASE WHEN d.id %% 50 = 7 THEN 'abandoned' ELSE 'done' END",
    "attempts": "1",
    **dict.fromkeys(("queued_at", "created_at", "updated_at"), "d.created_at"),
}
ATTEMPTS = {"call_id": "d.id", "kind": "'create'", "at": "d.created_at", "http_status": "503", "error": "'ServerError'"}
WEBHOOKS = {
    "id": f"(d.id - 1) * {EVENTS} + k",
    "account": "d.account",
    "environment": "d.environment",
    "event_id": f"'wh_' || (((d.id - 1) * {EVENTS} + k) * 2654435761 %% 4294967296)",
    "type": "'delivery.' || word",
    "body": BODY,
    "kaspi_delivery_id": "d.delivery_id",
    "external_order_id": "d.external_order_id",
    "delivery_id": "d.id",
    "state": "CASE WHEN d.id %% 50 = 7 THEN 'noted' ELSE 'applied' END",
    **dict.fromkeys(("occurred_at", "received_at", "applied_at"), "d.created_at"),
}
HISTORY = {
    "id": f"(d.id - 1) * {EVENTS} + k",
    "delivery_id": "d.id",
    "from_status": "before",
    "to_status": f"CASE WHEN word = '{DELIVERED}' THEN d.status ELSE word END",
    "source": "'webhook'",
    "event_id": f"(d.id - 1) * {EVENTS} + k",
    **dict.fromkeys(("at", "notified_at", "notify_after", "created_at"), "d.created_at"),
}


def insert(model: type[Model], columns: Mapping[str, str], source: str) -> int:
    """Write rows with an SQL expression for each named column, and the model's default for the others; count them."""
    fields = model._meta.local_concrete_fields
    names, selected, parameters = [], [], []
    for field in fields:
        if expression := columns.get(str(field.column)):
            selected.append(expression)
        elif field.primary_key:
            continue
        else:
            selected.append(f"CAST(%s AS {field.db_type(connection)})")
            parameters.append(field.get_db_prep_save(field.get_default(), connection))
        names.append(connection.ops.quote_name(str(field.column)))
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        text = f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(selected)} FROM {source}"
        cursor.execute(text, parameters)
        return int(cursor.rowcount)


def create(rows: int, *, events: int = EVENTS) -> None:
    """Create the tables of an empty database, and fill them."""
    databases.migrate()
    fill(rows, events=events)


def fill(rows: int, *, events: int = EVENTS) -> None:
    """Write so many deliveries, up to five events for each, and update the planner's statistics."""
    execute(*FAST[connection.vendor])
    for model, columns, source in _tables(rows, events):
        log(f"{insert(model, columns, source):>9,} {model._meta.verbose_name_plural}")
    execute(*connection.ops.sequence_reset_sql(no_style(), list(TABLES)), *AFTERWARDS[connection.vendor])
    connection.close()  # its settings for speed end with it


def add_rare(rows: int) -> None:
    """Open the newest deliveries, flag some, move the oldest to other accounts, and add failures."""
    Delivery.objects.filter(pk__lte=OTHERS).update(account="almaty")
    Delivery.objects.filter(pk__gt=OTHERS, pk__lte=2 * OTHERS).update(environment="production")
    still_open = max(rows * 3 // 1000, min(3 * RARE, rows // 4))
    for count, status in ((still_open, IN_TRANSIT), (still_open // 2, ACCEPTED), (min(DUE, rows // 10), "")):
        _reopen(rows - count, status)
    for number, attention in enumerate([*Attention.values, *Attention.values][:RARE], start=1):
        Delivery.objects.filter(pk=rows - still_open - number).update(attention=attention)
        ApiCall.objects.filter(delivery_id=rows - still_open - number).update(state="stuck", reason=attention)
    insert(FailedAttempt, ATTEMPTS, f"{Delivery._meta.db_table} d WHERE d.id %% 40 = 0")
    WebhookEvent.objects.bulk_create([_dead_letter(number) for number in range(RARE)])
    deliveries = Delivery.objects.order_by("-pk")[:10]
    now = timezone.now()
    PendingAction.objects.bulk_create(PendingAction(name="refresh", delivery=one, created_at=now) for one in deliveries)
    AccountState.objects.create(account="default", environment="sandbox", worker_seen_at=now)
    execute(*AFTERWARDS[connection.vendor])


def _reopen(after: int, status: str) -> None:
    """Take the newest deliveries back to an earlier status; those without a status are due."""
    now = timezone.now()
    following = (*OPEN[RANKS[status] :], DELIVERED, CANCELLED)
    StatusChange.objects.filter(delivery_id__gt=after, to_status__in=following).delete()
    types = [f"delivery.{later}" for later in following]
    WebhookEvent.objects.filter(delivery_id__gt=after, type__in=types).delete()
    reopened = Delivery.objects.filter(pk__gt=after)
    reopened.update(status=status, cancel_requested_at=None, next_refresh_at=now, delivery_by=now)
    if not status:
        reopened.update(delivery_id=None, status_at=None, next_refresh_at=None)
        ApiCall.objects.filter(delivery_id__gt=after).update(state=ApiCall.State.DUE, next_attempt_at=now)


def _dead_letter(number: int) -> WebhookEvent:
    state = WebhookEvent.DEAD_LETTERS[number % len(WebhookEvent.DEAD_LETTERS)]
    return WebhookEvent(
        account="default",
        environment="sandbox",
        event_id=f"wh_dead_{number}",
        type="delivery.delivered",
        body="{}",
        kaspi_delivery_id=f"dlv_unknown_{number}",
        external_order_id=f"order-unknown-{number}",
        state=state,
        received_at=timezone.now() - timedelta(days=number),
    )


def _tables(rows: int, events: int) -> list[tuple[type[Model], Mapping[str, str], str]]:
    """Return an order, a delivery, a call, and the same number of events and steps for each number."""
    numbers = _numbers(rows)
    deliveries = f"{Delivery._meta.db_table} d"
    steps = f"{deliveries} CROSS JOIN ({_steps(events)}) steps ORDER BY d.id, k"
    ended = _ago(f"({rows} - n) * {YEAR_MINUTES} / {rows}")
    times = {
        **dict.fromkeys(("status_at", "created_at", "updated_at"), ended),
        "cancel_requested_at": f"CASE WHEN {IS_CANCELLED} THEN {ended} END",
    }
    kind = "(SELECT id FROM django_content_type WHERE app_label = 'shop' AND model = 'order') kind"
    return [
        (Order, {"id": "n"}, numbers),
        (Delivery, {**DELIVERIES, **times}, f"{numbers}, {kind}"),
        (ApiCall, CALLS, f"{deliveries} ORDER BY d.id"),
        (WebhookEvent, WEBHOOKS, steps),
        (StatusChange, HISTORY, steps),
    ]


def _numbers(rows: int) -> str:
    counted = "SELECT CAST(1 AS bigint) AS n UNION ALL SELECT n + 1 FROM counted WHERE n < "
    return f"(WITH RECURSIVE counted AS ({counted}{rows}) SELECT n FROM counted) numbers"


def _steps(count: int) -> str:
    steps = enumerate(pairwise(("", *(*OPEN, DELIVERED)[-count:])), start=1)
    return " UNION ALL ".join(f"SELECT {k} AS k, '{word}' AS word, '{before}' AS before" for k, (before, word) in steps)


def _ago(minutes: str) -> str:
    if connection.vendor == "sqlite":
        return f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '-' || ({minutes}) || ' minutes')"
    return f"now() - ({minutes}) * interval '1 minute'"
