"""The client against a Kaspi that is made of its own description: whatever that allows is read."""

import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings

from kaspi_delivery_django.client import RemoteDelivery
from kaspi_delivery_django.client.types import is_identifier
from tests.client.conftest import BOOKED, request
from tests.sandbox import openapi

FIELDS = {
    "deliveryId": "delivery_id",
    "dropoff": "dropoff",
    "eta": "eta",
    "externalOrderId": "external_order_id",
    "parcel": "parcel",
    "pickup": "pickup",
    "status": "status",
    "trackingUrl": "tracking_url",
}
ETA = {"pickupBy": "2026-03-01T12:00:00Z", "deliveryBy": "2026-03-01T17:00:00Z"}
DELIVERY = {**BOOKED, **request().to_json(), "eta": ETA}
EXAMPLES = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@EXAMPLES
@given(openapi.values(openapi.SCHEMAS["Delivery"]))
def test_any_delivery_is_read(document):
    """Every documented Delivery becomes one of ours, with typed times and parts, and keeps what it was."""
    read = RemoteDelivery.from_json(json.loads(json.dumps(document)))
    assert read.raw == document
    assert read.status == document["status"]
    assert bool(read.delivery_id) == is_identifier(document["deliveryId"])
    assert [entry.status for entry in read.history] == [entry["status"] for entry in document.get("history", [])]
    assert (read.eta.pickup_by is None) == ("pickupBy" not in document["eta"])


@EXAMPLES
@given(openapi.values(openapi.SCHEMAS["DeliveryRequest"]))
def test_what_is_typed_can_be_sent(document):
    """A part that is not None says what Kaspi said, and is one that Kaspi's description allows."""
    read = RemoteDelivery.from_json(document)
    for name, kind in (("pickup", "Location"), ("dropoff", "Location"), ("parcel", "Parcel")):
        if part := getattr(read, name):
            assert openapi.faults(kind, part.to_json()) == []


def mistakes():
    """Yield each way to break each field of a whole Delivery."""
    for kind in ("DeliveryRequest", "DeliveryCreated"):
        yield from openapi.broken(openapi.SCHEMAS[kind], DELIVERY)


@pytest.mark.parametrize(("path", "document"), [*mistakes()])
def test_a_delivery_that_is_not_as_documented(path, document):
    """One wrong or missing field costs that field, never the answer; the whole answer is kept."""
    whole, read = RemoteDelivery.from_json(DELIVERY), RemoteDelivery.from_json(document)
    assert read.raw == document
    names = [field.name for field in dataclasses.fields(read) if field.name != "raw"]
    changed = [name for name in names if getattr(read, name) != getattr(whole, name)]
    assert changed in ([], [FIELDS[path[0]]])
