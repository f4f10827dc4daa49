"""The webhook as others would write it: what ours is compared with. They trust more than ours may.

Each takes the same signed request and leaves the same three rows: an event, a step of the history, and the
delivery's new status. None looks for a repeated event, locks the row, judges the status, or tells anybody.
"""

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Subquery
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from kaspi_delivery_django.models import Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.signals import delivery_status_changed
from kaspi_delivery_django.views import WebhookView

ours = WebhookView.as_view()

INSERT_EVENT = """
INSERT INTO kaspi_delivery_webhookevent (
    account, environment, event_id, type, attempt, received_count, body, kaspi_delivery_id, external_order_id,
    occurred_at, delivery_id, state, error, received_at, applied_at
)
SELECT 'default', 'production', %(event_id)s, %(type)s, %(attempt)s, 1, %(body)s,
    %(delivery_id)s, %(external_order_id)s, %(at)s, id, 'applied', '', %(now)s, %(now)s
FROM kaspi_delivery_delivery
WHERE account = 'default' AND environment = 'production' AND delivery_id = %(delivery_id)s
"""
INSERT_CHANGE = """
INSERT INTO kaspi_delivery_statuschange (
    delivery_id, from_status, to_status, at, source, event_id, note, applied, notified_at, notify_after, created_at
)
"""
MOVE = """
UPDATE kaspi_delivery_delivery SET status = %(status)s, status_at = %(at)s, updated_at = %(now)s
WHERE account = 'default' AND environment = 'production' AND delivery_id = %(delivery_id)s
"""
IN_ONE = f"""
WITH event AS ({INSERT_EVENT} RETURNING id, delivery_id), moved AS ({MOVE})
{INSERT_CHANGE}
SELECT delivery_id, 'created', %(status)s, %(at)s, 'webhook', id, '', true, %(now)s, %(now)s, %(now)s FROM event
"""
ONE_BY_ONE = (
    INSERT_EVENT,
    MOVE,
    f"""{INSERT_CHANGE}
SELECT delivery_id, 'created', %(status)s, %(at)s, 'webhook', id, '', true, %(now)s, %(now)s, %(now)s
FROM kaspi_delivery_webhookevent
WHERE account = 'default' AND environment = 'production' AND event_id = %(event_id)s""",
)


@dataclass(frozen=True, kw_only=True)
class News:
    """What a request says, and when it came."""

    event_id: str
    type: str
    attempt: int
    body: str
    delivery_id: str
    external_order_id: str
    status: str
    at: datetime
    now: datetime


@csrf_exempt
def nothing(_request: HttpRequest) -> HttpResponse:
    """Answer: what server and framework cost by themselves."""
    return HttpResponse(b'{"status": "nothing"}', content_type="application/json")


@csrf_exempt
def told(request: HttpRequest) -> HttpResponse:
    """Take it as ours does for a shop whose code listens: that it has heard is one more statement and commit."""
    delivery_status_changed.connect(_listen)
    try:
        return ours(request)
    finally:
        delivery_status_changed.disconnect(_listen)


@csrf_exempt
def connecting(request: HttpRequest) -> HttpResponse:
    """Take it as ours does with CONN_MAX_AGE = 0, where the next request has to connect to the database again."""
    try:
        return ours(request)
    finally:
        connection.close()


@csrf_exempt
def limit(request: HttpRequest) -> HttpResponse:
    """Verify, and write the rows as the database does it fastest: one statement, on SQLite three."""
    values = asdict(_read(_verified(request)))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(IN_ONE, values)
    else:
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in ONE_BY_ONE:
                cursor.execute(statement, values)
    return HttpResponse(b'{"status": "applied"}', content_type="application/json")


@csrf_exempt
def optimum(request: HttpRequest) -> HttpResponse:
    """Verify, and write the rows with three statements of the ORM in one transaction."""
    news = _read(_verified(request))
    own = Delivery.objects.filter(account="default", environment="production", delivery_id=news.delivery_id)
    pk = Subquery(own.values("pk"))
    with transaction.atomic():
        event = WebhookEvent.objects.create(
            account="default",
            environment="production",
            event_id=news.event_id,
            type=news.type,
            attempt=news.attempt,
            body=news.body,
            kaspi_delivery_id=news.delivery_id,
            external_order_id=news.external_order_id,
            occurred_at=news.at,
            delivery_id=pk,
            state=WebhookEvent.State.APPLIED,
            received_at=news.now,
            applied_at=news.now,
        )
        StatusChange.objects.create(
            delivery_id=pk,
            from_status="created",
            to_status=news.status,
            at=news.at,
            source=StatusChange.Source.WEBHOOK,
            event_id=event.pk,
            notified_at=news.now,
            notify_after=news.now,
            created_at=news.now,
        )
        own.update(status=news.status, status_at=news.at, updated_at=news.now)
    return HttpResponse(b'{"status": "applied"}', content_type="application/json")


def _listen(**_news: Any) -> None: ...


def _verified(request: HttpRequest) -> bytes:
    secrets: Any = settings.KASPI_DELIVERY["WEBHOOK_SECRETS"]
    message = request.headers["X-Kaspi-Timestamp"].encode() + b"." + request.body
    expected = hmac.new(secrets[0].encode(), message, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers["X-Kaspi-Signature"]):
        raise PermissionError
    return request.body


def _read(body: bytes) -> News:
    event = json.loads(body)
    data = event["data"]
    return News(
        event_id=event["eventId"],
        type=event["type"],
        attempt=event["attempt"],
        body=body.decode(),
        delivery_id=data["deliveryId"],
        external_order_id=data["externalOrderId"],
        status=data["status"],
        at=datetime.fromisoformat(data["timestamp"]),
        now=datetime.now(UTC),
    )
