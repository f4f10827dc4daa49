"""The requests that Kaspi's public pages show, header for header as curl sends them, get the documented answers.

curl adds `User-Agent`, `Accept`, and to a `-d` without a Content-Type header `application/x-www-form-urlencoded`.
"""

import json

import pytest

from kaspi_delivery_django.sandbox import defaults
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.server import SandboxServer
from tests.sandbox import openapi, raw
from tests.sandbox.conftest import REQUEST

CURL = ["User-Agent: curl/8.9.1", "Accept: */*"]
KEY = f"x-api-key: {defaults.API_KEY}"
JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
REASON = b'{"reason": "Customer changed address"}'
BODY = json.dumps(REQUEST).encode()
CREATE = [KEY, "Idempotency-Key: order-742", JSON]
CANCEL = [KEY, "Idempotency-Key: order-742-cancel"]


@pytest.fixture
def kaspi():
    """A sandbox as `manage.py kaspi_sandbox` makes it."""
    return FakeKaspi()


@pytest.fixture(params=["", "/delivery"])
def ask(request, kaspi):
    """Send what curl sends to the sandbox, at each base path."""
    with SandboxServer(kaspi) as server:

        def run(method, path, headers, body=b""):
            line = f"{method} {request.param}/v1/{path}"
            return raw.send(server.url, raw.request(line, [*CURL, *headers], body, length=bool(body)))

        yield run


def test_create_and_track(ask):
    """201, the same again for the same key and body, 409 for another body, 401 without the key; then 200 and 404."""
    first, second = (ask("POST", "deliveries", CREATE, BODY) for _ in range(2))
    assert (first.status, "x-idempotent-replay" in first.headers) == (201, False)
    assert (second.status, second.body, second.headers["x-idempotent-replay"]) == (201, first.body, "true")
    conflict = ask("POST", "deliveries", CREATE, BODY.replace(b"45000", b"45001"))
    assert (conflict.status, openapi.faults("Error", conflict.document)) == (409, [])
    assert ask("POST", "deliveries", CREATE[1:], BODY).status == 401
    for query in ("", "?includeHistory=true"):
        found = ask("GET", f"deliveries/{first.document['deliveryId']}{query}", [KEY])
        assert (found.status, "history" in found.document) == (200, bool(query))
        assert found.document.items() >= {**REQUEST, **first.document}.items()
    missing = ask("GET", "deliveries/dlv_01hfz18tnb7tqw", [KEY])
    assert (missing.status, missing.body) == (404, b"")


@pytest.mark.parametrize(
    ("headers", "body"),
    [([*CANCEL, FORM], REASON), ([KEY, FORM], REASON), (CANCEL, b""), ([KEY], b""), ([*CANCEL, JSON], REASON)],
)
def test_cancel(ask, kaspi, headers, body):
    """200 with and without a reason, a key, and a Content-Type of its own; after the pickup 409."""
    created = [ask("POST", "deliveries", [KEY, JSON], BODY) for _ in range(2)]
    early, late = (answer.document["deliveryId"] for answer in created)
    answer = ask("POST", f"deliveries/{early}/cancel", headers, body)
    assert (answer.status, answer.document["status"]) == (200, "cancelled")
    assert openapi.faults("Delivery", answer.document) == []
    kaspi.move(late, "in_transit")
    answer = ask("POST", f"deliveries/{late}/cancel", headers, body)
    assert (answer.status, answer.document["code"]) == (409, "conflict")
    assert kaspi.deliveries[late].status == "in_transit"


def test_ask_for_a_webhook(ask):
    """202 with the id of an event that is on its way."""
    body = json.dumps({"url": "http://127.0.0.1:9/kaspi/webhook/", "type": "delivery.created"}).encode()
    answer = ask("POST", "webhooks/test", [KEY, JSON], body)
    assert (answer.status, answer.document["status"]) == (202, "queued")
    assert answer.document["eventId"].startswith("wh_")
