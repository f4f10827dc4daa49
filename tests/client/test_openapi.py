"""The client against a Kaspi that is made of its own description: whatever that allows is read."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaspi_delivery_django.client import KaspiError, RemoteDelivery, TestWebhook, protocol
from kaspi_delivery_django.client.types import is_identifier
from tests.client.conftest import OPERATIONS, read_answer
from tests.sandbox import openapi

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
DOCUMENTS = openapi.values(openapi.SCHEMAS["Delivery"]) | openapi.values(openapi.SCHEMAS["Error"]) | JSON
BODIES = DOCUMENTS.map(json.dumps).map(str.encode) | st.binary() | st.just(b"[" * 100_000)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "retry-after": st.text() | st.integers().map(str) | st.sampled_from(["Sun, 01 Mar 2026 12:00:30 GMT"]),
        "x-idempotent-replay": st.text() | st.just("true"),
        "x-request-id": st.text(),
        "sunset": st.text(),
        "deprecation": st.text(),
        "content-type": st.text(),
    },
)
EXAMPLES = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@EXAMPLES
@given(openapi.values(openapi.SCHEMAS["Delivery"]))
def test_any_delivery_is_read(document):
    """Every documented Delivery becomes one of ours, with typed times and parts, and keeps what it was."""
    read = RemoteDelivery.from_json(json.loads(json.dumps(document)))
    assert read.raw == document
    assert read.status == document.get("status", "")
    assert bool(read.delivery_id) == is_identifier(document.get("deliveryId"))
    assert [entry.status for entry in read.history] == [e.get("status", "") for e in document.get("history", [])]
    assert (read.eta.pickup_by is None) == ("pickupBy" not in document.get("eta", {}))


@EXAMPLES
@given(openapi.values(openapi.SCHEMAS["DeliveryRequest"]))
def test_what_is_typed_can_be_sent(document):
    """A part that is not None is one that Kaspi's description allows."""
    read = RemoteDelivery.from_json(document)
    for name, kind in (("pickup", "Location"), ("dropoff", "Location"), ("parcel", "Parcel")):
        if part := getattr(read, name):
            assert openapi.faults(kind, part.to_json()) == []


@EXAMPLES
@given(st.sampled_from(list(OPERATIONS)), st.integers(100, 599), HEADERS, BODIES)
def test_any_answer_is_one_of_ours(operation, status, headers, body):
    """Whatever status, headers and body come: a value of ours, or an error of ours."""
    try:
        outcome = read_answer(operation, protocol.Answer(status=status, headers=headers, body=body))
    except KaspiError as err:
        outcome = err
    if isinstance(outcome, KaspiError):
        assert outcome.status == status
    else:
        assert isinstance(outcome, RemoteDelivery | TestWebhook)
        assert 200 <= status <= 299
