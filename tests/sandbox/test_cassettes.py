"""A story is recorded and replayed: in memory, and as a file that people read."""

import json

import pytest

from kaspi_delivery_django.sandbox import cassettes
from kaspi_delivery_django.sandbox.control import handle_control
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.replay import RecordingKaspi, ReplayedKaspi
from kaspi_delivery_django.sandbox.webhooks import sign
from tests.sandbox.conftest import REQUEST, WEBHOOK_URL, Partner, document, error

KEY, SECRET = "the-key-that-stays-out", "the-secret-that-stays-out-of-the-file"


def play(kaspi, clock, receiver):
    """Book, with a time-out at first; then a webhook, a GET, a cancel and the next webhook. Return the responses."""
    partner = Partner(kaspi)
    answers = [partner.create(), partner.create()]
    delivery_id = document(answers[1])["deliveryId"]
    kaspi.webhooks.deliver_due(clock.now, receiver)
    clock.tick(600)
    if isinstance(kaspi, RecordingKaspi):
        kaspi.move(delivery_id, "accepted")
    kaspi.webhooks.deliver_due(clock.now, receiver)
    answers.append(partner.get(delivery_id, "?includeHistory=true"))
    answers.append(partner.cancel(delivery_id, reason="out of stock"))
    kaspi.webhooks.deliver_due(clock.now, receiver)
    return answers


@pytest.fixture
def path(clock, receiver, tmp_path):
    """The cassette of the story."""
    kaspi = RecordingKaspi(api_key=KEY, webhook_secret=SECRET, clock=clock, seed=742, webhook_url=WEBHOOK_URL)
    kaspi.faults.add(Fault(operation="create", latency_s=20, truncate=True))
    play(kaspi, clock, receiver)
    receiver.bodies.clear()
    kaspi.cassette.write(tmp_path / "story.json")
    return tmp_path / "story.json"


@pytest.fixture
def replayed(path, clock):
    """Kaspi as in the cassette, a year later, with another key and secret."""
    clock.tick(365 * 24 * 3600)
    return ReplayedKaspi(
        cassettes.read(path), clock=clock, api_key="another", webhook_secret="other", webhook_url=WEBHOOK_URL
    )


def test_a_cassette_is_what_happened_in_order(path):
    """Each entry of the story is there, under the names of Kaspi's documents; no key, secret or signature is."""
    text = path.read_text()
    story = json.loads(text)["story"]
    booked = story[1]["response"]["body"]["deliveryId"]
    assert [entry["webhook"]["type"] if "webhook" in entry else entry["request"]["path"] for entry in story] == [
        "/v1/deliveries",
        "/v1/deliveries",
        "delivery.created",
        "delivery.accepted",
        f"/v1/deliveries/{booked}?includeHistory=true",
        f"/v1/deliveries/{booked}/cancel",
        "delivery.cancelled",
    ]
    assert story[0]["request"] == {
        "method": "POST",
        "path": "/v1/deliveries",
        "idempotency_key": "order-742",
        "body": REQUEST,
    }
    assert (story[0]["response"]["latency_s"], story[0]["response"]["truncate"]) == (20, True)
    assert not any(secret in text.lower() for secret in (KEY, SECRET, "signature", "x-api-key"))


def test_a_story_is_replayed(replayed, clock, receiver):
    """Same responses, faults and webhooks; its times are a year later, and the signatures are new."""
    timed_out, created, got, cancelled = play(replayed, clock, receiver)
    assert (timed_out.latency_s, timed_out.truncate) == (20, True)
    assert created.headers["X-Idempotent-Replay"] == "true"
    assert document(got)["createdAt"] == "2027-01-01T00:10:00Z"
    assert [entry["timestamp"] for entry in document(got)["history"]][1] == "2027-01-01T00:20:00Z"
    assert document(cancelled)["status"] == "cancelled"
    assert receiver.statuses == ["created", "accepted", "cancelled"]
    assert [body["attempt"] for body in receiver.bodies] == [1, 1, 1]
    sent = replayed.webhooks.sent[0]
    assert sent.headers["X-Kaspi-Signature"] == sign("other", sent.headers["X-Kaspi-Timestamp"], sent.body)
    assert (replayed.unplayed(), replayed.unexpected) == ([], [])
    assert [record.status for record in replayed.deliveries_for("order-742")] == ["cancelled"]


def test_a_webhook_waits_for_the_requests_before_it_and_for_its_time(replayed, clock, receiver):
    """None is sent before the parcel is booked, nor earlier than in the story; one that is refused is not repeated."""
    receiver.status = 500
    partner = Partner(replayed)
    partner.create()
    replayed.webhooks.deliver_due(clock.now, receiver)
    assert receiver.statuses == []
    partner.create()
    replayed.webhooks.deliver_due(clock.now, receiver)
    assert receiver.statuses == ["created"]
    for _ in range(2):
        clock.tick(24 * 3600)
        replayed.webhooks.deliver_due(clock.now, receiver)
    assert receiver.statuses == ["created", "accepted"]


def test_another_request_is_refused_with_its_difference(replayed):
    """The response does not repeat the customer; a request that was made already is another one too."""
    parcel = {**REQUEST["parcel"], "weightGrams": 1300}
    answer = Partner(replayed).create(parcel=parcel)
    assert error(answer) == (400, "not_in_cassette")
    assert b"Aigerim" not in answer.body
    [text] = replayed.unexpected
    changed = [line for line in text.splitlines() if line[0] in "+-"]
    assert changed[2:] == ['-      "weightGrams": 1200', '+      "weightGrams": 1300']
    assert replayed.unplayed()[0] == "POST /v1/deliveries"
    assert [Partner(replayed).create().status for _ in range(3)] == [201, 201, 400]


def test_a_replayed_story_is_not_changed_from_outside(replayed):
    """A fault or a status of today would be ignored; it is refused."""
    move = f"/_sandbox/deliveries/{Partner(replayed).book()}/move"
    for target, body in (("/_sandbox/faults", b'{"operation": "create"}'), (move, b'{"status": "delivered"}')):
        assert error(handle_control(replayed, "POST", target, body)) == (409, "replayed")


HEAD = '{"cassette": 1, "began_at": "2026-03-01T12:00:00Z", "story": '
EVENT = '{"eventId": "a", "type": "b", "attempt": 1, "data": {"timestamp": "c"}}'
WRONG = [
    ("{", "body: must be JSON in UTF-8"),
    ('{"cassette": 2, "began_at": "", "story": []}', "cassette: must be 1"),
    ('{"cassette": 1, "began_at": "noon", "story": []}', "began_at: must be a time such as"),
    (HEAD + "1}", "story: must be a list"),
    (HEAD + '[{"request": {"method": "GET", "path": "/"}, "response": {}}]}', "entry 1.response.status: is required"),
    (HEAD + '[{"webhook": ' + EVENT + "}]}", "entry 1.webhook.data.timestamp: must be a time such as"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_cassette_names_the_place(tmp_path, text, message):
    """A file that was edited by hand gets an error that names the entry."""
    (tmp_path / "story.json").write_text(text)
    with pytest.raises(cassettes.CassetteError, match=f"story.json is no cassette of version 1: {message}"):
        cassettes.read(tmp_path / "story.json")
