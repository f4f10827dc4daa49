"""For any answer to any call the table of outcomes decides: nothing is raised, and no call stays claimed."""

import io
import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.services import cancel_delivery, clock, link_delivery, refresh_delivery
from kaspi_delivery_django.services.outbox import sender
from kaspi_delivery_django.services.outbox.retry_policy import Attempt, decide
from kaspi_delivery_django.signals import call_attempted
from tests.client.test_openapi import JSON
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

State = ApiCall.State
IDS = st.sampled_from(["OWN", "dlv_1", "dlv_2", "", "жд", None, 7])
STATUSES = st.sampled_from(["created", "accepted", "in_transit", "delivered", "cancelled", "returned", "", None, 5])
TIMES = st.sampled_from(["2026-03-01T12:00:00Z", "2026-03-01t12:00:00z", "0001-01-01T00:00:00+14:00", "soon", None, 5])
STEPS = st.fixed_dictionaries({}, optional={"status": STATUSES, "timestamp": TIMES, "notes": JSON})
DELIVERIES = st.fixed_dictionaries(
    {},
    optional={
        "deliveryId": IDS,
        "externalOrderId": IDS,
        "status": STATUSES,
        "trackingUrl": JSON,
        "eta": st.fixed_dictionaries({}, optional={"pickupBy": TIMES, "deliveryBy": TIMES}) | JSON,
        "history": st.lists(STEPS, max_size=3) | JSON,
        "pickup": JSON,
    },
)
ERRORS = st.fixed_dictionaries(
    {}, optional={"code": JSON | st.sampled_from(["conflict", "in_progress"]), "message": JSON}
)
BODIES = (DELIVERIES | ERRORS | JSON).map(json.dumps).map(str.encode) | st.binary(max_size=50)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Retry-After": st.sampled_from(["7", "-1", "99999999999", "nan", "Sun, 01 Mar 2026 12:00:30 GMT", "soon", "²"]),
        "X-Idempotent-Replay": st.sampled_from(["true", "false", "1", "é"]),
        "X-Request-Id": st.sampled_from(["r-1", "", "é" * 300, "a\tb"]),
        "Content-Encoding": st.sampled_from(["gzip", "br", "identity", "deflate, gzip"]),
        "Content-Length": st.integers(0, 60).map(str),
        "Content-Type": st.text(max_size=9),
        "Deprecation": st.sampled_from(["true", "@1", "é" * 300]),
        "Sunset": st.sampled_from(["Sun, 01 Mar 2026 12:00:30 GMT", "soon"]),
        "Warning": st.sampled_from(['299 - "é"', ""]),
        "Location": st.sampled_from(["/", "https://elsewhere.example/", "//["]),
    },
)
CODES = st.sampled_from([200, 201, 202, 204, 304, 400, 401, 404, 408, 409, 410, 422, 425, 426, 429, 500, 503])
KINDS = st.sampled_from(ApiCall.Kind.values)


class Answers(HTTPAdapter):
    def __init__(self, status, headers, body):
        super().__init__()
        self._answer = status, headers, body

    def send(self, request, **_options):
        status, headers, body = self._answer
        raw = HTTPResponse(io.BytesIO(body), headers=headers, status=status, preload_content=False)
        return self.build_response(request, raw)


def call_of(kind):
    order = Order.objects.create()
    create = ApiCall.objects.get(delivery__object_id=str(order.pk))
    if kind == "create":
        return create
    ApiCall.objects.filter(pk=create.pk).update(state="done", next_attempt_at=None)
    booked = Delivery.objects.filter(pk=create.delivery_id)
    booked.update(status="created", delivery_id=f"dlv_{create.pk}", status_at=clock.now())
    {"cancel": cancel_delivery, "refresh": refresh_delivery, "link": _link}[kind](booked.get())
    return ApiCall.objects.get(delivery=create.delivery_id, kind=kind)


def _link(delivery):
    Delivery.objects.filter(pk=delivery.pk).update(status="", delivery_id=None)
    ApiCall.objects.filter(delivery=delivery.pk).update(
        state="stuck", reason="outcome_unknown", unknown_since=clock.now() - timedelta(hours=1)
    )
    link_delivery(fresh(delivery), f"dlv_{delivery.pk}")


@pytest.fixture
def answered(fake_clock, connect_only):
    """Answer a call of this kind once; return it and its error."""
    received = []
    connect_only(call_attempted, lambda error, **_kwargs: received.append(error))

    def run(kind, *answer):
        AccountState.objects.all().delete()  # a breaker that an earlier answer has opened
        call = call_of(kind)
        own = call.delivery.delivery_id if kind in {"cancel", "refresh"} else call.delivery.external_order_id
        status, headers, body = answer
        with sender.transport(Answers(status, headers, body.replace(b"OWN", own.encode()))):
            assert sender.send(call.pk)
        return fresh(call), received.pop()

    return run


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(KINDS, CODES | st.integers(100, 999), HEADERS, BODIES)
@example("create", 201, {}, b'{"deliveryId": "dlv_1", "externalOrderId": "OWN", "status": "created"}')
@example("refresh", 200, {}, b'{"deliveryId": "OWN", "status": "\\ud800"}')
def test_any_answer_ends_in_a_decision(answered, kind, status, headers, body):
    """The call has the state of the table's decision for any status, headers and body."""
    call, error = answered(kind, status, headers, body)
    if error is None:
        assert call.state in {State.DONE, State.STUCK}
        return
    decision = decide(Attempt(kind=kind, attempts=1), error, 0.5)
    assert call.state == decision.state
    assert (call.next_attempt_at is None) == (decision.retry_in_s is None)
    assert call.delivery.attention == (decision.attention or call.delivery.attention)
