"""Each request that Kaspi's public pages show, header for header as curl sends it, gets the documented answer.

curl adds `User-Agent`, `Accept`, and to a `-d` without a Content-Type header `application/x-www-form-urlencoded`.
"""

import json
from itertools import product

import pytest

from kaspi_delivery_django.sandbox import defaults
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.server import SandboxServer
from tests.sandbox import openapi, raw

CURL = ["User-Agent: curl/8.9.1", "Accept: */*"]
KEY = f"x-api-key: {defaults.API_KEY}"
JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
REPLAY = "x-idempotent-replay"
REASON = b'{"reason": "Customer changed address"}'
DELIVERY = {
    "externalOrderId": "order-2024-0191",
    "pickup": {
        "address": "21 Zhibek Zholy, Almaty",
        "contact": {"name": "Kaspi Warehouse", "phone": "+7 727 111 0000"},
    },
    "dropoff": {
        "address": "17 Abylay Khan Ave, Almaty",
        "contact": {"name": "Dana K.", "phone": "+7 701 111 1111"},
        "notes": "Entrance B, floor 6",
    },
    "parcel": {"description": "Electronics, insured", "weightGrams": 1200, "valueKzt": 85000},
}
CREATE = [KEY, "Idempotency-Key: order-2024-0191", JSON]
CANCEL = [KEY, "Idempotency-Key: order-2024-0191-cancel"]
BASES = ["", "/delivery"]


@pytest.fixture
def kaspi():
    """A sandbox as `manage.py kaspi_sandbox` makes it."""
    return FakeKaspi()


@pytest.fixture
def ask(kaspi):
    """Send what curl sends to the sandbox."""
    with SandboxServer(kaspi) as server:

        def run(line, headers, body=b""):
            return raw.send(server.url, raw.request(line, [*CURL, *headers], body, length=bool(body)))

        yield run


@pytest.fixture
def create(ask):
    """Create a delivery as the guide does."""

    def run(headers=CREATE, base="", **changes):
        return ask(f"POST {base}/v1/deliveries", headers, json.dumps({**DELIVERY, **changes}).encode())

    return run


@pytest.mark.parametrize("base", BASES)
def test_create(create, base):
    """201 with an id, the status, where to follow it, and when to expect it."""
    answer = create(base=base)
    assert (answer.status, REPLAY in answer.headers) == (201, False)
    assert set(answer.document) == {"deliveryId", "status", "trackingUrl", "eta"}
    assert answer.document["status"] == "created"
    assert set(answer.document["eta"]) == {"pickupBy", "deliveryBy"}


def test_create_again(create):
    """The same key and body get the first answer, and a header says so."""
    first, second = create(), create()
    assert (second.status, second.body, second.headers[REPLAY]) == (201, first.body, "true")


def test_create_with_another_payload(create):
    """The same key with another body is a conflict."""
    create()
    answer = create(parcel={**DELIVERY["parcel"], "valueKzt": 85001})
    assert (answer.status, answer.document["code"]) == (409, "conflict")
    assert openapi.faults("Error", answer.document) == []


@pytest.mark.parametrize("key", [[], ["x-api-key: YOUR_API_KEY"]])
def test_create_without_the_key(create, key):
    """401 for a missing key and for a wrong one."""
    answer = create([*key, *CREATE[1:]])
    assert (answer.status, answer.document["code"]) == (401, "unauthorized")


def test_create_without_an_idempotency_key(create, kaspi):
    """The header is recommended, not required: each such create books."""
    answers = [create([KEY, JSON]) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201]
    assert len(kaspi.deliveries) == 2


@pytest.mark.parametrize("query", ["", "?includeHistory=true", "?includeHistory=false"])
def test_track(create, ask, query):
    """200 with all of the request and of the first answer; the history only if it was asked for."""
    created = create().document
    answer = ask(f"GET /v1/deliveries/{created['deliveryId']}{query}", [KEY])
    assert answer.status == 200
    assert answer.document.items() >= {**DELIVERY, **created}.items()
    assert ("history" in answer.document) == query.endswith("true")


def test_track_what_is_not_there(ask):
    """404, without a body."""
    answer = ask("GET /v1/deliveries/dlv_01hfz18tnb7tqw", [KEY])
    assert (answer.status, answer.body) == (404, b"")


BY_HAND = [([*CANCEL, FORM], REASON), ([KEY, FORM], REASON), (CANCEL, b""), ([KEY], b""), ([*CANCEL, JSON], REASON)]


@pytest.mark.parametrize(("sent", "base"), [*product(BY_HAND, BASES)])
def test_cancel_before_the_pickup(create, ask, sent, base):
    """200 with the delivery, with and without a reason, a key, and a Content-Type of its own."""
    headers, body = sent
    answer = ask(f"POST {base}/v1/deliveries/{create().document['deliveryId']}/cancel", headers, body)
    assert (answer.status, answer.document["status"]) == (200, "cancelled")
    assert openapi.faults("Delivery", answer.document) == []


@pytest.mark.parametrize(("headers", "body"), BY_HAND)
@pytest.mark.parametrize("status", ["in_transit", "out_for_delivery", "delivered"])
def test_cancel_after_the_pickup(create, ask, kaspi, status, headers, body):
    """409, whatever else was sent."""
    delivery_id = create().document["deliveryId"]
    kaspi.move(delivery_id, status)
    answer = ask(f"POST /v1/deliveries/{delivery_id}/cancel", headers, body)
    assert (answer.status, answer.document["code"]) == (409, "conflict")
    assert kaspi.deliveries[delivery_id].status == status


def test_ask_for_a_webhook(ask):
    """202 with the id of an event that is on its way."""
    body = json.dumps({"url": "http://127.0.0.1:9/kaspi/webhook/", "type": "delivery.created"}).encode()
    answer = ask("POST /v1/webhooks/test", [KEY, JSON], body)
    assert (answer.status, answer.document["status"]) == (202, "queued")
    assert answer.document["eventId"].startswith("wh_")
