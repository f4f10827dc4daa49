"""The sandbox against Kaspi's own description: what it accepts, what it refuses, and how its answers look."""

import json

import pytest
from hypothesis import HealthCheck, given, settings

from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.deliveries import STATUSES
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.requests import CANCEL, DELIVERY_REQUEST, EVENT_TYPES, OPERATIONS, WEBHOOK_TEST
from tests.sandbox import openapi
from tests.sandbox.conftest import REQUEST, Partner

TEST_WEBHOOK = {"url": "https://shop.example/kaspi/webhook/", "type": "delivery.created"}
EXAMPLES = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def call(partner, operation, body=None, **headers):
    """Ask for one operation, about a delivery that was just booked where it needs one."""
    if operation == "create":
        return partner.call("POST", "/v1/deliveries", body or REQUEST, **headers)
    if operation == "test_webhook":
        return partner.call("POST", "/v1/webhooks/test", body or TEST_WEBHOOK, **headers)
    delivery_id = headers.pop("about", None) or json.loads(partner.create(None).body)["deliveryId"]
    method, rest = {"get": ("GET", "?includeHistory=true"), "cancel": ("POST", "/cancel")}[operation]
    return partner.call(method, f"/v1/deliveries/{delivery_id}{rest}", body, **headers)


def check(operation, answer, status):
    """Hold an answer against what is documented for its status, headers and all."""
    assert answer.status == status
    response = openapi.answer_of(operation, status)
    missing = [name for name, header in response.get("headers", {}).items() if name not in answer.headers]
    assert missing == []
    if name := openapi.name_of(response):
        assert answer.headers["Content-Type"] == "application/json"
        document = json.loads(answer.body)
        assert openapi.faults(name, document) == []
        assert openapi.left_out(name, document, but={"history"}) == []


def test_the_sandbox_has_the_documented_operations():
    """Four, under the names that faults are set with; statuses and event types are Kaspi's."""
    assert set(openapi.OPERATIONS) == set(OPERATIONS)
    assert list(STATUSES) == openapi.SCHEMAS["Status"]["enum"]
    assert list(EVENT_TYPES) == openapi.SCHEMAS["EventType"]["enum"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_documented_success(partner, operation):
    """The one 2xx of each operation, with a body as documented."""
    [status] = [int(code) for code in openapi.OPERATIONS[operation]["responses"] if code[0] == "2"]
    check(operation, call(partner, operation), status)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_documented_401_and_429(partner, kaspi, operation):
    """A wrong key, and a burst, which is answered with the seconds to wait."""
    delivery_id = partner.book()
    check(operation, call(partner, operation, about=delivery_id, x_api_key="wrong"), 401)
    kaspi.faults.add(Fault(status=429, retry_after=30, times=None))
    check(operation, call(partner, operation, about=delivery_id), 429)


def test_the_documented_404_and_409(partner, kaspi):
    """An unknown delivery, without a body; a key with another payload; a cancel after the pickup."""
    delivery_id = partner.book()
    check("get", partner.get("dlv_unknown"), 404)
    check("create", partner.create(externalOrderId="order-743"), 409)
    kaspi.move(delivery_id, "in_transit")
    check("cancel", partner.cancel(delivery_id), 409)


@pytest.mark.parametrize("status", STATUSES)
def test_a_delivery_of_any_status(partner, kaspi, status):
    """A Delivery carries all of the request and of DeliveryCreated, with and without its history."""
    delivery_id = partner.book()
    kaspi.move(delivery_id, status)
    for query in ("", "?includeHistory=true"):
        answer = partner.get(delivery_id, query)
        check("get", answer, 200)
    assert [openapi.left_out("HistoryEntry", entry) for entry in json.loads(answer.body)["history"]] == [[], []]


@EXAMPLES
@given(openapi.values(openapi.SCHEMAS["DeliveryRequest"]))
def test_any_request_that_is_documented_is_booked(request):
    """Whatever the description allows is 201, and can be read again."""
    partner = Partner(FakeKaspi(seed=742))
    created = partner.call("POST", "/v1/deliveries", request)
    check("create", created, 201)
    document = json.loads(created.body)
    read = partner.get(document["deliveryId"])
    check("get", read, 200)
    known = {name: request[name] for name in REQUEST}
    assert json.loads(read.body).items() >= {**known, **document}.items()


def test_what_is_required_is_documented():
    """The sandbox refuses a field that is missing or of another type where Kaspi's description does."""
    assert openapi.sandbox_schema("DeliveryRequest") == DELIVERY_REQUEST
    assert openapi.sandbox_schema("Cancel") == CANCEL
    assert openapi.sandbox_schema("WebhookTest") == WEBHOOK_TEST


@pytest.mark.parametrize("status", STATUSES)
def test_every_webhook_is_as_documented(partner, kaspi, receiver, status):
    """So is a test event; the attempt is counted."""
    kaspi.move(partner.book(), status)
    call(partner, "test_webhook", {**TEST_WEBHOOK, "type": f"delivery.{status}"})
    receiver.status = 500
    for later in (0, 60):
        kaspi.webhooks.deliver_due(kaspi.clock() + later, receiver)
    assert len(receiver.bodies) == 6
    assert [fault for body in receiver.bodies for fault in openapi.faults("Webhook", body)] == []
    assert [field for body in receiver.bodies for field in openapi.left_out("Webhook", body)] == []


def test_the_description_finds_faults():
    """A check that accepts everything would hold nothing."""
    document = {"deliveryId": "dlv_1", "status": "lost", "trackingUrl": "nowhere", "eta": {"pickupBy": "soon"}}
    assert len(openapi.faults("DeliveryCreated", document)) == 3
    assert openapi.left_out("DeliveryCreated", document) == ["deliveryBy"]
    assert openapi.left_out("DeliveryCreated", {}) == ["deliveryId", "status", "trackingUrl", "eta"]
