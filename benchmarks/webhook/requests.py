"""Signed requests as bytes, made before the clock starts."""

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

from benchmarks.webhook.rows import delivery_id, external_order_id

KASPI_SECRET = "a-webhook-secret-of-thirty-two-chars-or-more"
STRIPE_SECRET = "whsec_benchmark"


def kaspi(path: str, first: int, count: int, *, secret: str = KASPI_SECRET) -> Iterator[bytes]:
    """Yield what Kaspi posts when a courier accepts these deliveries."""
    at = datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    for number in range(first, first + count):
        data = {
            "deliveryId": delivery_id(number),
            "externalOrderId": external_order_id(number),
            "status": "accepted",
            "timestamp": at,
        }
        event = {"eventId": f"wh_{uuid.uuid4().hex}", "type": "delivery.accepted", "attempt": 1, "data": data}
        body = json.dumps(event).encode()
        stamp = str(int(time.time()))
        headers = {"X-Kaspi-Timestamp": stamp, "X-Kaspi-Signature": _mac(secret, stamp, body)}
        yield _post(path, headers, body)


def stripe(path: str, count: int) -> Iterator[bytes]:
    """Yield events of a type that dj-stripe stores without asking Stripe."""
    for _ in range(count):
        event = {
            "id": f"evt_{uuid.uuid4().hex}",
            "object": "event",
            "api_version": "2024-06-20",
            "created": int(time.time()),
            "data": {"object": {"object": "balance", "livemode": False}},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": "balance.available",
        }
        body = json.dumps(event).encode()
        stamp = str(int(time.time()))
        yield _post(path, {"Stripe-Signature": f"t={stamp},v1={_mac(STRIPE_SECRET, stamp, body)}"}, body)


def _mac(secret: str, stamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _post(path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body
