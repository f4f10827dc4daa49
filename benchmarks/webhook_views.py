"""The webhook as others would write it: views to compare ours with.

Each takes the same signed request and leaves the same three rows: an event, a step of the history, and the
delivery's new status. None checks for a repeated event, locks the row, compares the status, or sends a signal.
"""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
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
SELECT 'default', 'sandbox', %(event_id)s, %(type)s, %(attempt)s, 1, %(body)s,
    %(delivery_id)s, %(external_order_id)s, %(at)s, id, 'applied', '', %(now)s, %(now)s
FROM kaspi_delivery_delivery
WHERE account = 'default' AND environment = 'sandbox' AND delivery_id = %(delivery_id)s
"""
INSERT_CHANGE = """
INSERT INTO kaspi_delivery_statuschange (
    delivery_id, from_status, to_status, at, source, event_id, note, applied, notified_at, notify_after, created_at
)
SELECT delivery_id, 'created', %(status)s, %(at)s, 'webhook', id, '', true, %(now)s, %(now)s, %(now)s FROM
"""
MOVE = """
UPDATE kaspi_delivery_delivery SET status = %(status)s, status_at = %(at)s, updated_at = %(now)s
WHERE account = 'default' AND environment = 'sandbox' AND delivery_id = %(delivery_id)s
"""
OF_EVENT = (
    "kaspi_delivery_webhookevent WHERE account = 'default' AND environment = 'sandbox' AND event_id = %(event_id)s"
)
IN_ONE = f"WITH event AS ({INSERT_EVENT} RETURNING id, delivery_id), moved AS ({MOVE}) {INSERT_CHANGE} event"
ONE_BY_ONE = (INSERT_EVENT, MOVE, f"{INSERT_CHANGE} {OF_EVENT}")


@csrf_exempt
def nothing(_request: HttpRequest) -> HttpResponse:
    """Answer without any work: the cost of server and framework."""
    return HttpResponse(b'{"status": "nothing"}', content_type="application/json")


@csrf_exempt
def receiver(request: HttpRequest) -> HttpResponse:
    """Use our view with a receiver: one more statement and commit record that it was notified."""
    delivery_status_changed.connect(_receive)
    try:
        return ours(request)
    finally:
        delivery_status_changed.disconnect(_receive)


@csrf_exempt
def connecting(request: HttpRequest) -> HttpResponse:
    """Use our view with CONN_MAX_AGE = 0: each request connects to the database."""
    try:
        return ours(request)
    finally:
        connection.close()


@csrf_exempt
def limit(request: HttpRequest) -> HttpResponse:
    """Verify, and write the rows with one raw statement, on SQLite with three."""
    values = _read(_verified(request))
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
    values = _read(_verified(request))
    own = Delivery.objects.filter(account="default", environment="sandbox", delivery_id=values["delivery_id"])
    pk = Subquery(own.values("pk"))
    names = ("event_id", "type", "attempt", "body", "external_order_id")
    now, at = values["now"], values["at"]
    with transaction.atomic():
        event = WebhookEvent.objects.create(
            account="default",
            environment="sandbox",
            kaspi_delivery_id=values["delivery_id"],
            occurred_at=at,
            delivery_id=pk,
            state=WebhookEvent.State.APPLIED,
            received_at=now,
            applied_at=now,
            **{name: values[name] for name in names},
        )
        StatusChange.objects.create(
            delivery_id=pk,
            from_status="created",
            to_status=values["status"],
            at=at,
            source=StatusChange.Source.WEBHOOK,
            event_id=event.pk,
            **dict.fromkeys(("notified_at", "notify_after", "created_at"), now),
        )
        own.update(status=values["status"], status_at=at, updated_at=now)
    return HttpResponse(b'{"status": "applied"}', content_type="application/json")


def _receive(**_signal: Any) -> None: ...


def _verified(request: HttpRequest) -> bytes:
    secrets: Any = settings.KASPI_DELIVERY["WEBHOOK_SECRETS"]
    message = request.headers["X-Kaspi-Timestamp"].encode() + b"." + request.body
    expected = hmac.new(secrets[0].encode(), message, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers["X-Kaspi-Signature"]):
        raise PermissionError
    return request.body


def _read(body: bytes) -> dict[str, Any]:
    event = json.loads(body)
    data = event["data"]
    return {
        "event_id": event["eventId"],
        "type": event["type"],
        "attempt": event["attempt"],
        "body": body.decode(),
        "delivery_id": data["deliveryId"],
        "external_order_id": data["externalOrderId"],
        "status": data["status"],
        "at": datetime.fromisoformat(data["timestamp"]),
        "now": datetime.now(UTC),
    }


urlpatterns = [
    path("kaspi/", include("kaspi_delivery_django.urls")),
    path("nothing/", nothing),
    path("receiver/", receiver),
    path("connecting/", connecting),
    path("limit/", limit),
    path("optimum/", optimum),
    path("stripe/", include("djstripe.urls", namespace="djstripe")),
]
