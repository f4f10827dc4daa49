"""The client against the bundled sandbox, by socket and without: a second witness of the API."""

import pytest

from kaspi_delivery_django.client import (
    Conflict,
    InProgress,
    KaspiClient,
    NotFound,
    OutcomeUnknown,
    PayloadMismatch,
    RateLimited,
    Refused,
    ServerFault,
    Timeouts,
    UnusableAnswer,
    WebhookRejected,
    read_event,
    verify,
)
from kaspi_delivery_django.sandbox import defaults
from kaspi_delivery_django.sandbox.adapter import SandboxAdapter
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.server import SandboxServer
from tests.client.conftest import create, request

NOW = 1767225600.0


@pytest.fixture
def kaspi():
    """A Kaspi whose clock stands still."""
    return FakeKaspi(clock=lambda: NOW, seed=1)


@pytest.fixture(params=["adapter", "server"])
def client(request, kaspi):
    """A client of the sandbox, with and without a socket."""
    timeouts = Timeouts(total_s=5)
    if request.param == "adapter":
        yield KaspiClient(kaspi.api_key, base_url=defaults.BASE_URL, transport=SandboxAdapter(kaspi))
        return
    with SandboxServer(kaspi) as server:
        client = KaspiClient(kaspi.api_key, base_url=server.url, timeouts=timeouts)
        yield client
        client.close()


def test_create_get_and_cancel(client, kaspi):
    """What is documented works with and without a socket."""
    created = create(client)
    record = kaspi.deliveries[created.delivery_id]
    assert (created.status, created.replayed, record.request) == ("created", False, request().to_json())
    assert created.eta.pickup_by < created.eta.delivery_by
    with pytest.raises(PayloadMismatch):
        client.create_delivery(request(external_order_id="order-743"), idempotency_key="order-742")
    cancelled = client.cancel_delivery(created.delivery_id, reason="Передумал", idempotency_key="k")
    found = client.get_delivery(created.delivery_id, include_history=True)
    assert (cancelled.status, found.status, found.external_order_id) == ("cancelled", "cancelled", "order-742")
    assert [(step.status, step.notes) for step in found.history] == [("created", ""), ("cancelled", "Передумал")]
    with pytest.raises(Conflict):
        client.cancel_delivery(created.delivery_id, idempotency_key="another")
    with pytest.raises(NotFound):
        client.get_delivery("dlv/../nothing")


@pytest.mark.parametrize(
    ("fault", "kind", "booked"),
    [
        (Fault(status=429, retry_after=7), RateLimited, 0),
        (Fault(status=422), Refused, 0),
        (Fault(status=503), ServerFault, 0),
        (Fault(status=502, booked=True), ServerFault, 1),
        (Fault(status=409, code="in_progress", booked=True), InProgress, 1),
        (Fault(drop="before"), OutcomeUnknown, 0),
        (Fault(drop="after"), OutcomeUnknown, 1),
        (Fault(truncate=True), OutcomeUnknown, 1),
        (Fault(body=b"<html>"), OutcomeUnknown, 1),
        (Fault(body=b"{}"), UnusableAnswer, 1),
    ],
)
def test_faults(client, kaspi, fault, kind, booked):
    """Each fault has its class; the same bytes again find out what happened."""
    kaspi.faults.add(fault)
    with pytest.raises(kind) as caught:
        create(client)
    assert len(kaspi.deliveries) == booked
    assert caught.value.outcome_known or issubclass(kind, OutcomeUnknown)
    assert create(client).replayed is bool(booked)
    assert len(kaspi.deliveries) == 1


def test_the_sandboxs_webhooks_are_verified(client, kaspi):
    """What the sandbox signs, we accept and read; not another body, another secret, nor at another time."""
    kaspi.webhook_url = "http://shop.test/kaspi/"
    queued = client.send_test_webhook("http://127.0.0.1:9/", "delivery.created")
    kaspi.webhooks.pending.clear()
    create(client)
    [sent] = kaspi.webhooks.deliver_due(NOW, lambda *_: 200)
    assert (queued.event_id.startswith("wh_"), queued.status) == (True, "queued")
    signed = {"timestamp": sent.headers["X-Kaspi-Timestamp"], "signature": sent.headers["X-Kaspi-Signature"]}
    good = {"body": sent.body, "secrets": [defaults.WEBHOOK_SECRET], "now": NOW}
    verify(**signed, **good)
    event = read_event(sent.body)
    assert (event.status, event.external_order_id, event.attempt) == ("created", "order-742", 1)
    assert event.occurred_at.timestamp() == NOW
    for changes in ({"body": b"{}"}, {"secrets": ["x" * 32]}, {"now": NOW + 301}):
        with pytest.raises(WebhookRejected):
            verify(**signed, **{**good, **changes})
