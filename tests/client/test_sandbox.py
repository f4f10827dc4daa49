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
from tests.client.conftest import request

NOW = 1767225600.0


@pytest.fixture
def kaspi():
    """A Kaspi whose clock stands still."""
    return FakeKaspi(clock=lambda: NOW, seed=1, webhook_url="http://shop.test/kaspi/")


@pytest.fixture(params=["adapter", "server"])
def connect(request, kaspi):
    """Connect clients to the sandbox, with and without a socket."""
    made = []
    if request.param == "adapter":
        options, running = {"transport": SandboxAdapter(kaspi)}, None
    else:
        kaspi.webhook_url, options = None, {}
        running = SandboxServer(kaspi).start()
    base_url = running.url if running else defaults.BASE_URL

    def make(api_key=kaspi.api_key):
        timeouts = Timeouts(total_s=5)
        made.append(KaspiClient(api_key, base_url=base_url, timeouts=timeouts, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()
    if running:
        running.stop()


@pytest.fixture
def client(connect):
    """A client with the right key."""
    return connect()


def create(client, key="order-742", **changes):
    return client.create_delivery(request(**changes), idempotency_key=key)


def test_create(client, kaspi):
    """A create books one delivery, of everything that was asked for."""
    created = create(client)
    record = kaspi.deliveries[created.delivery_id]
    assert (created.status, created.replayed, record.request) == (
        "created",
        False,
        request().to_json(),
    )
    assert created.tracking_url == f"https://track.kaspi.kz/{created.delivery_id}"
    assert created.eta.pickup_by < created.eta.delivery_by


def test_replay(client, kaspi):
    """The same key and payload answer the same delivery, marked as a replay."""
    first, second = create(client), create(client)
    assert (first.delivery_id, first.replayed) == (second.delivery_id, False)
    assert (second.replayed, len(kaspi.deliveries)) == (True, 1)


def test_another_payload(client):
    """The same key with another payload is a mismatch: a person decides."""
    create(client)
    with pytest.raises(PayloadMismatch):
        create(client, external_order_id="order-743")


def test_get(client):
    """A get tells the delivery, and no history unless asked."""
    created = create(client)
    found = client.get_delivery(created.delivery_id)
    assert (found.delivery_id, found.external_order_id) == (created.delivery_id, "order-742")
    assert (found.status, found.history) == ("created", ())


def test_get_with_history(client, kaspi):
    """The history has every step with its time and notes."""
    created = create(client)
    kaspi.move(created.delivery_id, "accepted", notes="Courier found")
    history = client.get_delivery(created.delivery_id, include_history=True).history
    assert [(step.status, step.notes) for step in history] == [
        ("created", ""),
        ("accepted", "Courier found"),
    ]
    assert {step.timestamp.timestamp() for step in history} == {NOW}


def test_get_of_nothing(client):
    """A delivery that Kaspi does not know is a 404 without a body."""
    with pytest.raises(NotFound) as caught:
        client.get_delivery("dlv/../nothing")
    assert (caught.value.status, caught.value.code) == (404, "")


@pytest.mark.parametrize("reason", ["", "Передумал"])
def test_cancel(client, kaspi, reason):
    """A cancel that is carried out at once answers `cancelled`, and Kaspi notes the reason."""
    delivery_id = create(client).delivery_id
    cancelled = client.cancel_delivery(delivery_id, reason=reason, idempotency_key="k")
    assert cancelled.status == "cancelled"
    assert kaspi.deliveries[delivery_id].history[-1]["notes"] == reason


def test_a_slow_cancel(client, kaspi):
    """A cancel that is only accepted answers the status as it still is."""
    kaspi.cancel_is_slow = True
    delivery_id = create(client).delivery_id
    assert client.cancel_delivery(delivery_id, idempotency_key="k").status == "created"


@pytest.mark.parametrize("status", ["in_transit", "out_for_delivery", "delivered", "cancelled"])
def test_too_late_to_cancel(client, kaspi, status):
    """Once the parcel is on its way, or its way has ended, a cancel is a conflict."""
    delivery_id = create(client).delivery_id
    kaspi.move(delivery_id, status)
    with pytest.raises(Conflict) as caught:
        client.cancel_delivery(delivery_id, idempotency_key="k")
    assert caught.value.code == "conflict"


def test_cancel_replayed(client):
    """A second cancel of the same key and reason is a replay."""
    delivery_id = create(client).delivery_id
    answers = [client.cancel_delivery(delivery_id, idempotency_key="k") for _ in range(2)]
    assert [answer.replayed for answer in answers] == [False, True]


def test_cancel_with_another_reason(client):
    """Another reason is another payload, which needs another key."""
    delivery_id = create(client).delivery_id
    client.cancel_delivery(delivery_id, reason="a", idempotency_key="k")
    with pytest.raises(Conflict):
        client.cancel_delivery(delivery_id, reason="b", idempotency_key="k")


def test_cancel_of_nothing(client):
    """A cancel of what Kaspi does not know is a 404."""
    with pytest.raises(NotFound):
        client.cancel_delivery("dlv_nothing", idempotency_key="k")


def test_a_test_webhook(client):
    """A test webhook is queued under an event id."""
    queued = client.send_test_webhook("http://127.0.0.1:9/", "delivery.created")
    assert (queued.event_id.startswith("wh_"), queued.status) == (True, "queued")


def test_a_test_webhook_for_no_url(client):
    """A URL that Kaspi does not take is a refusal."""
    with pytest.raises(Refused):
        client.send_test_webhook("nowhere", "delivery.created")


def test_a_wrong_key(connect):
    """A wrong key is a fault of the configuration."""
    with pytest.raises(ConfigurationFault) as caught:
        create(connect("wrong"))
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")


def test_a_disabled_key(client, kaspi):
    """So is a key that Kaspi has disabled."""
    kaspi.disabled_keys.add(kaspi.api_key)
    with pytest.raises(ConfigurationFault) as caught:
        create(client)
    assert caught.value.status == 403


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
    ids=lambda value: getattr(value, "__name__", None),
)
def test_faults(client, kaspi, fault, kind, booked):
    """What goes wrong on the way has its class; the same bytes again find out what happened."""
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


def test_a_broken_emoji(client, kaspi):
    """Half an emoji in Kaspi's answer does not reach a column."""
    kaspi.faults.add(Fault(body=b'{"deliveryId": "dlv_1", "trackingUrl": "a\\ud83d\\u0000"}'))
    assert create(client).tracking_url == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"


@pytest.fixture
def sent(kaspi):
    """One webhook as the sandbox sends it."""
    adapter = SandboxAdapter(kaspi)
    client = KaspiClient(kaspi.api_key, base_url=defaults.BASE_URL, transport=adapter)
    delivery_id = create(client).delivery_id
    kaspi.move(delivery_id, "accepted")
    return kaspi.webhooks.deliver_due(NOW, lambda *_: 200)[-1]


def check(sent, **changes):
    given = {
        "timestamp": sent.headers["X-Kaspi-Timestamp"],
        "signature": sent.headers["X-Kaspi-Signature"],
        "secrets": [defaults.WEBHOOK_SECRET],
        "now": NOW,
    }
    verify(changes.pop("body", sent.body), **{**given, **changes})


def test_the_sandboxs_webhooks_are_verified(sent):
    """What the sandbox signs, we accept and read."""
    check(sent)
    event = read_event(sent.body)
    assert (event.status, event.external_order_id, event.attempt) == ("accepted", "order-742", 1)
    assert event.occurred_at.timestamp() == NOW


@pytest.mark.parametrize("changes", [{"body": b"{}"}, {"secrets": ["x" * 32]}, {"now": NOW + 301}])
def test_a_forged_webhook(sent, changes):
    """What it did not sign, not now, or not with our secret, we refuse."""
    with pytest.raises(WebhookRejected):
        check(sent, **changes)
