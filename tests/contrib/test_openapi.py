"""How drf-spectacular describes our public endpoints."""

import re

import pytest
from django.urls import reverse

from kaspi_delivery_django.tracking import token_of
from tests import webhook_contract
from tests.conftest import event
from tests.openapi_documents import described, faults

REST = "/kaspi/api/v1/"
WEBHOOK, ACCOUNT, TRACKING = "/kaspi/webhook/", "/kaspi/webhook/{account}/", "/kaspi/api/track/{token}/"


@pytest.fixture
def operations():
    """Return the operations of our public addresses, by their paths: one for each."""
    own = {path: methods for path, methods in described()["paths"].items() if not path.startswith(REST)}
    return {path: next(iter(methods.values())) for path, methods in own.items() if len(methods) == 1}


def test_each_address_is_described_once(operations):
    """Under one tag, with a name of its own, and without a login: the host's security schemes are not ours."""
    assert {path: one["operationId"] for path, one in operations.items()} == {
        WEBHOOK: "kaspi_delivery_webhook",
        ACCOUNT: "kaspi_delivery_account_webhook",
        TRACKING: "kaspi_delivery_tracking",
    }
    for one in operations.values():
        assert (one["tags"], one.get("security", [{}])) == (["Kaspi Delivery"], [{}])


@pytest.mark.parametrize("path", [WEBHOOK, ACCOUNT])
def test_the_webhook_is_described_with_its_headers_and_answers(operations, path):
    """All that Kaspi sends, and all that it may get."""
    found = operations[path]
    required = {(one["in"], one["name"]) for one in found["parameters"] if one["required"]}
    assert {("header", "X-Kaspi-Timestamp"), ("header", "X-Kaspi-Signature")} <= required
    assert (("path", "account") in required) is (path == ACCOUNT)
    assert set(found["responses"]) == {"200", "400", "401", "405", "413", "503"}
    assert set(found["responses"]["503"]["headers"]) == {"Retry-After"}
    assert found["requestBody"]["required"]


def test_the_headers_patterns_take_what_is_signed(operations):
    """A client that checks them sends what we verify."""
    patterns = {one["name"]: one["schema"]["pattern"] for one in operations[WEBHOOK]["parameters"]}
    stamp, body = "1772366400", webhook_contract.event()
    assert re.search(patterns["X-Kaspi-Timestamp"], stamp)
    assert re.search(patterns["X-Kaspi-Signature"], webhook_contract.signature("s" * 32, stamp, body))


@pytest.mark.django_db
def test_a_webhook_and_its_answers_are_as_described(operations, booked, post_webhook):
    """Kaspi's body, and each of our answers to it."""
    found = operations[WEBHOOK]
    document = event(booked, "accepted")
    assert faults(found["requestBody"], document) == []
    answers = [
        post_webhook(document),
        post_webhook(b"{}"),
        post_webhook(document, signature="0" * 64),
        post_webhook(b"x" * 70_000),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 401, 413]
    for answer in answers:
        assert faults(found["responses"][str(answer.status_code)], answer.json()) == []


@pytest.mark.django_db
def test_what_the_tracking_endpoint_answers_is_as_described(operations, booked, client):
    """With every field that it has, and no other; and the refusals."""
    responses = operations[TRACKING]["responses"]
    assert set(responses) == {"200", "304", "404", "405"}
    assert set(responses["200"]["headers"]) == {"ETag"}
    address = reverse("kaspi_delivery:tracking-api", args=[token_of(booked)])
    for answer in (client.get(address), client.get(address.replace(".", ".x")), client.post(address)):
        assert faults(responses[str(answer.status_code)], answer.json()) == []
