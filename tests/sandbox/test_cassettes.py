"""A story is recorded and replayed: in memory, over sockets, and as a file that people read."""

import json
import signal
import subprocess
import sys
import time

import pytest
import requests

from kaspi_delivery_django.sandbox import cassettes, defaults
from kaspi_delivery_django.sandbox.control import handle_control
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.replay import RecordingKaspi, ReplayedKaspi
from kaspi_delivery_django.sandbox.webhooks import sign
from tests.conftest import PATIENCE_S
from tests.sandbox.conftest import REQUEST, WEBHOOK_URL, Partner, Receiver

KEY, SECRET = "the-key-that-stays-out", "the-secret-that-stays-out-of-the-file"
COMMAND = [sys.executable, "-u", "-m", "kaspi_delivery_django.sandbox", "--port", "0"]


@pytest.fixture
def path(clock, receiver, tmp_path):
    """The cassette of a booking that times out, its webhook, a look at it, and its cancel."""
    kaspi = RecordingKaspi(api_key=KEY, webhook_secret=SECRET, clock=clock, seed=742, webhook_url=WEBHOOK_URL)
    partner = Partner(kaspi)
    kaspi.faults.add(Fault(operation="create", latency_s=20, truncate=True))
    partner.create()
    delivery_id = partner.book()
    kaspi.webhooks.deliver_due(clock.now, receiver)
    clock.tick(600)
    kaspi.move(delivery_id, "accepted")
    kaspi.webhooks.deliver_due(clock.now, receiver)
    partner.get(delivery_id, "?includeHistory=true")
    partner.cancel(delivery_id, reason="out of stock")
    kaspi.webhooks.deliver_due(clock.now, receiver)
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
    """Each line of the story is there, under the names of Kaspi's documents."""
    story = json.loads(path.read_text())["story"]
    names = [next(iter(entry)) if "webhook" in entry else entry["request"]["path"] for entry in story]
    booked = story[1]["response"]["body"]["deliveryId"]
    assert names == [
        "/v1/deliveries",
        "/v1/deliveries",
        "webhook",
        "webhook",
        f"/v1/deliveries/{booked}?includeHistory=true",
        f"/v1/deliveries/{booked}/cancel",
        "webhook",
    ]
    assert story[0]["request"] == {
        "method": "POST",
        "path": "/v1/deliveries",
        "idempotency_key": "order-742",
        "body": REQUEST,
    }
    assert (story[0]["response"]["latency_s"], story[0]["response"]["truncate"]) == (20, True)
    assert [entry["webhook"]["type"] for entry in story if "webhook" in entry] == [
        "delivery.created",
        "delivery.accepted",
        "delivery.cancelled",
    ]


def test_a_cassette_has_no_secret(path):
    """Neither the key, nor the secret, nor a signature, whatever it is called."""
    text = path.read_text().lower()
    assert KEY not in text
    assert SECRET not in text
    assert "signature" not in text
    assert "x-api-key" not in text


def play(kaspi, clock, receiver):
    """Make the requests of the story; return the responses."""
    partner = Partner(kaspi)
    answers = [partner.create(), partner.create()]
    delivery_id = json.loads(answers[1].body)["deliveryId"]
    kaspi.webhooks.deliver_due(clock.now, receiver)
    clock.tick(600)
    kaspi.webhooks.deliver_due(clock.now, receiver)
    answers.append(partner.get(delivery_id, "?includeHistory=true"))
    answers.append(partner.cancel(delivery_id, reason="out of stock"))
    kaspi.webhooks.deliver_due(clock.now, receiver)
    return answers


def test_a_story_is_replayed(replayed, clock):
    """Same responses, faults and webhooks; its times are a year later, and the signatures are new."""
    again = Receiver()
    timed_out, created, got, cancelled = play(replayed, clock, again)
    assert (timed_out.latency_s, timed_out.truncate) == (20, True)
    assert created.headers["X-Idempotent-Replay"] == "true"
    assert json.loads(got.body)["createdAt"] == "2027-01-01T00:10:00Z"
    assert [entry["timestamp"] for entry in json.loads(got.body)["history"]][1] == "2027-01-01T00:20:00Z"
    assert json.loads(cancelled.body)["status"] == "cancelled"
    assert again.statuses == ["created", "accepted", "cancelled"]
    assert [body["attempt"] for body in again.bodies] == [1, 1, 1]
    sent = replayed.webhooks.sent[0]
    assert sent.headers["X-Kaspi-Signature"] == sign("other", sent.headers["X-Kaspi-Timestamp"], sent.body)
    assert (replayed.unplayed(), replayed.unexpected) == ([], [])
    assert [record.status for record in replayed.deliveries_for("order-742")] == ["cancelled"]


def test_a_webhook_waits_for_the_requests_before_it_and_for_its_time(replayed, clock):
    """The courier of the cassette does not come before the parcel is booked, nor faster than he did."""
    receiver = Receiver()
    partner = Partner(replayed)
    replayed.webhooks.deliver_due(clock.now, receiver)
    partner.create()
    replayed.webhooks.deliver_due(clock.now, receiver)
    assert receiver.statuses == []
    partner.create()
    replayed.webhooks.deliver_due(clock.now, receiver)
    assert receiver.statuses == ["created"]
    clock.tick(600)
    replayed.webhooks.deliver_due(clock.now, receiver)
    assert receiver.statuses == ["created", "accepted"]


def test_a_webhook_is_not_repeated(replayed, clock):
    """Attempts are part of the story: what the shop refuses now is over."""
    receiver = Receiver()
    receiver.status = 500
    Partner(replayed).create()
    Partner(replayed).create()
    replayed.webhooks.deliver_due(clock.now, receiver)
    clock.tick(24 * 3600)
    replayed.webhooks.deliver_due(clock.now, receiver)
    assert receiver.statuses == ["created", "accepted"]


def test_another_request_is_refused_with_its_difference(replayed):
    """Any change of the body, the key or the path; the response does not repeat the customer."""
    parcel = {**REQUEST["parcel"], "weightGrams": 1300}
    answer = Partner(replayed).create(parcel=parcel)
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "not_in_cassette")
    assert b"Aigerim" not in answer.body
    [text] = replayed.unexpected
    changed = [line for line in text.splitlines() if line[0] in "+-"]
    assert changed[2:] == ['-      "weightGrams": 1200', '+      "weightGrams": 1300']
    assert replayed.unplayed()[0] == "POST /v1/deliveries"


def test_a_request_is_played_once(replayed):
    """The third create is one too many."""
    answers = [Partner(replayed).create().status for _ in range(3)]
    assert answers == [201, 201, 400]


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/_sandbox/faults", b'{"operation": "create"}'),
        ("POST", "/_sandbox/deliveries/{id}/move", b'{"status": "delivered"}'),
    ],
)
def test_a_replayed_story_is_not_changed_from_outside(replayed, method, target, body):
    """A fault or a status of today would be ignored; it is refused."""
    delivery_id = Partner(replayed).book()
    answer = handle_control(replayed, method, target.format(id=delivery_id), body)
    assert (answer.status, json.loads(answer.body)["code"]) == (409, "replayed")


HEAD = '{"cassette": 1, "began_at": "2026-03-01T12:00:00Z", "story": '
WRONG = {
    "no JSON": ("{", "body: must be JSON in UTF-8"),
    "another version": ('{"cassette": 2, "began_at": "", "story": []}', "cassette: must be 1"),
    "no time": ('{"cassette": 1, "began_at": "noon", "story": []}', "began_at: must be a time such as"),
    "no list": (HEAD + "1}", "story: must be a list"),
    "no status": (
        HEAD + '[{"request": {"method": "GET", "path": "/"}, "response": {}}]}',
        "entry 1.response.status: is required",
    ),
    "no time of a webhook": (
        HEAD + '[{"webhook": {"eventId": "a", "type": "b", "attempt": 1, "data": {"timestamp": "c"}}}]}',
        "entry 1.webhook.data.timestamp: must be a time such as",
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_cassette_says_where(tmp_path, text, message):
    """A file that was edited by hand gets an error that names the entry."""
    (tmp_path / "story.json").write_text(text)
    with pytest.raises(cassettes.CassetteError, match=f"story.json is no cassette of version 1: {message}"):
        cassettes.read(tmp_path / "story.json")


def run_sandbox(*options):
    """Start the command; return the process and its URL."""
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return process, process.stdout.readline().split()[-1]


def send_create(url, **changes):
    headers = {"x-api-key": defaults.API_KEY, "Idempotency-Key": "order-742"}
    return requests.post(f"{url}/v1/deliveries", json={**REQUEST, **changes}, headers=headers, timeout=PATIENCE_S)


def stop(process):
    process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=PATIENCE_S)[0]


def test_the_command_records_and_replays(tmp_path):
    """`--record` writes the file at the end; `--replay` answers from it, and says what differs and what is left."""
    file = tmp_path / "story.json"
    process, url = run_sandbox("--record", str(file), "--pace", "0", "--webhook-url", "http://127.0.0.1:9/")
    booked = send_create(url).json()
    assert any("delivery.delivered attempt=1" in line for line in iter(process.stdout.readline, ""))
    assert f"6 entries written to {file}." in stop(process)

    process, url = run_sandbox("--replay", str(file), "--webhook-url", "http://127.0.0.1:9/", "--quiet")
    assert send_create(url, externalOrderId="order-743").status_code == 400
    again = send_create(url).json()
    assert again["deliveryId"] == booked["deliveryId"]
    deadline = time.monotonic() + PATIENCE_S
    while requests.get(f"{url}/_sandbox/deliveries", timeout=PATIENCE_S).json()["deliveries"][0]["status"] != (
        "delivered"
    ):
        assert time.monotonic() < deadline
    output = stop(process)
    assert '-    "externalOrderId": "order-742",\n+    "externalOrderId": "order-743",' in output


@pytest.mark.parametrize("options", [("--replay", "nowhere.json"), ("--record", "nowhere/story.json")])
def test_a_cassette_that_is_not_there_is_explained(tmp_path, options):
    """One line that names the file, before anything is served."""
    ran = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert ran.stderr.startswith(f"The cassette {options[1]} cannot be ")
