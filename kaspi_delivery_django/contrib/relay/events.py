"""Write the events to relay, one row for each endpoint that wants them, when our signals are sent."""

import json
import secrets
from datetime import UTC, datetime
from typing import Any

from django.db import models

from kaspi_delivery_django.contrib import outgoing
from kaspi_delivery_django.contrib.relay import conf
from kaspi_delivery_django.contrib.relay.models import RelayedEvent
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import OldRows, database_now
from kaspi_delivery_django.signals import delivery_created, delivery_needs_attention, delivery_status_changed


def connect() -> None:
    """Receive the signals. One that cannot be stored is repeated by the worker, but for those about attention."""
    delivery_created.connect(store_created)
    delivery_status_changed.connect(store_status_change)
    delivery_needs_attention.connect(store_attention)


def store_created(delivery: Delivery, **_signal: Any) -> None:
    """Relay that Kaspi has booked a delivery."""
    at = delivery.status_at or clock.now()
    _store(conf.CREATED, f"created:{delivery.pk}", delivery, at, status=delivery.status, sequence=0)


def store_status_change(delivery: Delivery, change: StatusChange, **_signal: Any) -> None:
    """Relay a status. Keys of one delivery's changes grow in the order in which they were applied."""
    facts = {"status": change.to_status, "previous_status": change.from_status, "sequence": change.pk}
    _store(conf.STATUS_CHANGED, f"status:{change.pk}", delivery, change.at, **facts)


def store_attention(delivery: Delivery, attention: str, **_signal: Any) -> None:
    """Relay that staff are needed. This signal is sent once: a later one is another occurrence."""
    key = f"attention:{delivery.pk}:{secrets.token_hex(8)}"
    _store(conf.NEEDS_ATTENTION, key, delivery, clock.now(), status=delivery.status, attention=str(attention))


def old_rows(before: datetime) -> OldRows:
    """Return old rows that have ended, and those of endpoints that the settings no longer have."""
    return outgoing.old_rows(RelayedEvent, before, ~models.Q(endpoint__in=list(conf.endpoints())))


def _store(kind: str, key: str, delivery: Delivery, at: datetime, **facts: Any) -> None:
    wanted = [endpoint.alias for endpoint in conf.endpoints().values() if kind in endpoint.events]
    if not wanted:
        return
    body, now = _body(kind, delivery, at, facts), database_now()
    rows = [
        RelayedEvent(
            endpoint=alias,
            type=kind,
            key=key,
            message_id=f"msg_{secrets.token_hex(16)}",
            delivery=delivery,
            body=body,
            next_attempt_at=now,
        )
        for alias in wanted
    ]
    RelayedEvent.objects.bulk_create(rows, ignore_conflicts=True)


def _body(kind: str, delivery: Delivery, at: datetime, facts: dict[str, Any]) -> str:
    """Return the event as JSON: no personal data, and ASCII, which every table stores."""
    data = {
        "account": delivery.account,
        "environment": delivery.environment,
        "order_id": delivery.object_id,
        "order_label": "" if delivery.label_is_personal else delivery.order_label,
        "external_order_id": delivery.external_order_id,
        "parcel": delivery.parcel,
        "is_return": delivery.is_return,
        "generation": delivery.generation,
        "delivery_id": delivery.delivery_id,
        "tracking_url": delivery.allowed_tracking_url,
        "pickup_by": _moment(delivery.pickup_by),
        "delivery_by": _moment(delivery.delivery_by),
        "status": "",
        "previous_status": None,
        "sequence": None,
        "attention": None,
        **facts,
    }
    return json.dumps({"type": kind, "timestamp": _moment(at), "data": data}, separators=(",", ":"))


def _moment(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None
