"""The client against the bundled sandbox, by socket and without: a second witness of the API."""

import pytest

from kaspi_delivery_django.client import (
    ConfigurationFault,
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


def test_create_and_get(client, kaspi):
    """A create books one delivery, a replay none; a get shows it, with its history if asked for."""
    first, second = create(client), create(client)
    record = kaspi.deliveries[first.delivery_id]
    assert (first.status, first.replayed, record.request) == ("created", False, request().to_json())
    assert first.tracking_url == f"https://track.kaspi.kz/{first.delivery_id}"
    assert first.eta.pickup_by < first.eta.delivery_by
    assert (second.delivery_id, second.replayed, len(kaspi.deliveries)) == (first.delivery_id, True, 1)
    with pytest.raises(PayloadMismatch):
        client.create_delivery(request(external_order_id="order-743"), idempotency_key="order-742")
    kaspi.move(first.delivery_id, "accepted", notes="Courier found")
    found = client.get_delivery(first.delivery_id)
    assert (found.external_order_id, found.status, found.history) == ("order-742", "accepted", ())
    history = client.get_delivery(first.delivery_id, include_history=True).history
    assert [(step.status, step.notes) for step in history] == [("created", ""), ("accepted", "Courier found")]
    assert {step.timestamp.timestamp() for step in history} == {NOW}


def test_cancel(client, kaspi):
    """Kaspi keeps the reason, which is part of the payload; a slow cancel is only accepted at first."""
    kaspi.cancel_is_slow = True
    delivery_id = create(client).delivery_id
    assert client.cancel_delivery(delivery_id, idempotency_key="slow").status == "created"
    kaspi.cancel_is_slow = False
    answers = [client.cancel_delivery(delivery_id, reason="Передумал", idempotency_key="k") for _ in range(2)]
    assert [(answer.status, answer.replayed) for answer in answers] == [("cancelled", False), ("cancelled", True)]
    assert kaspi.deliveries[delivery_id].history[-1]["notes"] == "Передумал"
    with pytest.raises(Conflict):
        client.cancel_delivery(delivery_id, reason="b", idempotency_key="k")
    for status in ("in_transit", "delivered", "cancelled"):
        kaspi.move(delivery_id, status)
        with pytest.raises(Conflict) as caught:
            client.cancel_delivery(delivery_id, idempotency_key=status)
        assert caught.value.code == "conflict"


def test_what_kaspi_refuses(client, kaspi):
    """An unknown delivery, a test webhook to no URL, a key that is disabled, a key that is wrong."""
    with pytest.raises(NotFound) as caught:
        client.get_delivery("dlv/../nothing")
    assert (caught.value.status, caught.value.code) == (404, "")
    with pytest.raises(NotFound):
        client.cancel_delivery("dlv_nothing", idempotency_key="k")
    with pytest.raises(Refused):
        client.send_test_webhook("nowhere", "delivery.created")
    kaspi.disabled_keys.add(kaspi.api_key)
    with pytest.raises(ConfigurationFault) as caught:
        create(client)
    assert caught.value.status == 403
    kaspi.disabled_keys.clear()
    kaspi.api_key = "another"
    with pytest.raises(ConfigurationFault) as caught:
        create(client)
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")


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


def test_a_stored_fault_is_replayed(client, kaspi):
    """An error that Kaspi has stored comes back marked."""
    kaspi.faults.add(Fault(status=500, stored=True))
    for replayed in (False, True):
        with pytest.raises(ServerFault) as caught:
            create(client)
        assert caught.value.replayed is replayed


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
