"""A signed event with an id that can be stored is accepted and stored, whatever else it holds."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kaspi_delivery_django.client.types import is_identifier
from kaspi_delivery_django.models import WebhookEvent
from tests.client.test_openapi import JSON as ANY
from tests.services.outbox.test_any_answer import STATUSES, TIMES

pytestmark = pytest.mark.django_db(transaction=True)

DEEP = st.just(json.loads("[" * 40 + "]" * 40))
JSON = ANY.filter(lambda value: "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value)) | DEEP
PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)
EVENT_IDS = st.text(PRINTABLE, min_size=1, max_size=128).filter(is_identifier) | st.integers(-(10**40), 10**40)
NAMES = st.sampled_from(["OWN ID", "OWN NAME", "dlv_2", "order-0", "тапсырыс-7", "", 7, None, 1.0]) | JSON
DATA = st.fixed_dictionaries(
    {},
    optional={
        "deliveryId": NAMES,
        "externalOrderId": NAMES,
        "status": STATUSES | JSON,
        "timestamp": TIMES | JSON,
        "more": JSON,
    },
)
TYPES = st.sampled_from(["delivery.accepted", "delivery.eta_changed", "delivery.returned", "delivery.", "payout.paid"])
EVENTS = st.builds(
    lambda more, event_id, known: {**more, **known, "eventId": event_id},
    st.dictionaries(st.text(max_size=9), JSON, max_size=3),
    EVENT_IDS,
    st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | JSON,
            "attempt": st.sampled_from([0, 2.0, None, "2", 10**30, -1, True]) | JSON,
            "data": DATA | JSON,
        },
    ),
)


def bytes_of(document, *, ascii_only):
    """Return the JSON, in UTF-8 where its texts can be written so."""
    try:
        return json.dumps(document, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:  # a lone surrogate can only be escaped
        return json.dumps(document).encode()


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(EVENTS, st.booleans())
@example({"eventId": "."}, True)
@example({"eventId": "wh_1", "type": "delivery.accepted", "data": {"deliveryId": "OWN ID", "status": "accepted"}}, True)
@example({"eventId": "wh_1", "type": "delivery.accepted", "data": {"deliveryId": "OWN ID", "status": "\0"}}, False)
def test_any_event_is_accepted_and_stored(booked, post_webhook, document, ascii_only):
    """A 200 to Kaspi, and a row with its outcome."""
    body = bytes_of(document, ascii_only=ascii_only)
    body = body.replace(b"OWN ID", booked.delivery_id.encode()).replace(b"OWN NAME", booked.external_order_id.encode())
    assert post_webhook(body).status_code == 200
    event = WebhookEvent.objects.get(event_id=str(document["eventId"]))
    assert event.state in {"applied", "noted"} or event.error
