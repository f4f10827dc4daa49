"""From a signal to the shop's ERP: signed, at least once, with the same id and the same bytes at each attempt."""

import io
import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from os import environ
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from kaspi_delivery_django.contrib.outgoing import LEASE
from kaspi_delivery_django.contrib.relay import sending
from kaspi_delivery_django.contrib.relay.models import RelayedEvent
from kaspi_delivery_django.models import Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.signals import delivery_created, delivery_status_changed
from tests.conftest import NOON, PATIENCE_S, event
from tests.relay.conftest import flag
from tests.relay.erp import ERP, OTHER_SECRET, SECRET

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)  # signals follow a commit

PERSONAL = (b"Aigerim", b"Abay", b"+7 727", b"Almaty")


def only_row():
    return RelayedEvent.objects.get()


@pytest.fixture
def stored(delivery, relayed):
    """Relay that staff are needed, and return the row."""
    flag(delivery)
    return only_row()


@committed
def test_an_order_is_followed_to_the_door(relayed, booked, post_webhook, drain):
    """Verified, in the order of its sequence; each event identifies the delivery and names no person."""
    post_webhook(event(booked, "accepted"))
    drain()
    created, first, second = relayed.events
    names = ["delivery.created", "delivery.status_changed", "delivery.status_changed"]
    assert [one["type"] for one in relayed.events] == names
    assert [one["data"]["status"] for one in relayed.events] == ["created", "created", "accepted"]
    assert created["data"]["sequence"] < first["data"]["sequence"] < second["data"]["sequence"]
    assert second["data"]["previous_status"] == "created"
    assert second["timestamp"] == NOON.isoformat().replace("+00:00", "Z")
    assert set(RelayedEvent.objects.values_list("state", "error")) == {("sent", "")}
    booked.refresh_from_db()
    for name in ("external_order_id", "delivery_id", "tracking_url"):
        assert {one["data"][name] for one in relayed.events} == {getattr(booked, name)}
    assert {one["data"]["order_id"] for one in relayed.events} == {booked.object_id}
    assert not [word for word in PERSONAL for body in relayed.bodies if word in body]


@pytest.mark.parametrize(("is_personal", "label"), [(True, ""), (False, "№ 742")])
def test_an_event_names_parcel_direction_and_reason_and_no_personal_order(relayed, delivery, is_personal, label):
    """A return that is delivered is back at the shop; staff are told why they are needed."""
    delivery.parcel, delivery.returned_generation = "almaty", 1
    delivery.order_label, delivery.label_is_personal = "№ 742", is_personal
    flag(delivery)
    sending.run(limit=10)
    data = relayed.events[0]["data"]
    assert (data["parcel"], data["is_return"], data["order_label"]) == ("almaty", True, label)
    assert data["attention"] == "refused"
    assert only_row().body.isascii()


def test_a_signal_that_is_repeated_is_relayed_once(relay_to, erp, booked):
    """To each endpoint: their receivers are called at least once."""
    with ERP() as other:
        relay_to(erp=erp, accounting=other)
        change = StatusChange.objects.get()
        for _ in range(3):
            delivery_created.send(Delivery, delivery=booked)
            delivery_status_changed.send(Delivery, delivery=booked, change=change)
        sending.run(limit=10)
        names = ["delivery.created", "delivery.status_changed"]
        assert [sorted(one["type"] for one in place.events) for place in (erp, other)] == [names] * 2
        assert len({*erp.ids, *other.ids}) == 4


def test_an_endpoint_gets_the_events_that_it_wants(relay_to, erp, booked):
    """And the others have no row."""
    relay_to(erp={"URL": erp.url, "SECRETS": [SECRET], "EVENTS": ["delivery.needs_attention"]})
    delivery_created.send(Delivery, delivery=booked)
    flag(booked)
    assert only_row().type == "delivery.needs_attention"


def test_an_erp_that_is_away_gets_it_later(stored, relayed, fake_clock):
    """With the same id and the same bytes, however the delivery has changed meanwhile."""
    relayed.__exit__()
    assert sending.run(limit=10) == 0
    first = only_row()
    assert (first.state, first.attempts) == ("waiting", 1)
    assert first.error.startswith("no answer from the endpoint: ")
    Delivery.objects.update(status="delivered")
    with relayed:
        fake_clock.advance(hours=1)
        assert sending.run(limit=10) == 1
    assert (relayed.ids, relayed.bodies) == ([stored.message_id], [stored.body.encode()])


@pytest.mark.parametrize(
    ("status", "state", "error"),
    [
        (200, "sent", ""),
        (299, "sent", ""),
        (302, "waiting", "302 from the endpoint"),  # not followed: a signature is for one address
        (404, "waiting", "404 from the endpoint"),
        (410, "failed", "410 from the endpoint: it wants no more of them"),
        (500, "waiting", "500 from the endpoint"),
        (503, "waiting", "503 from the endpoint"),  # without a Retry-After
    ],
)
def test_the_answer_decides_what_becomes_of_an_event(stored, relayed, fake_clock, status, state, error):
    """A success and 410 end it; anything else is tried again, with the same id."""
    relayed.answers.append((status, {"Location": "/elsewhere/"}))
    sending.run(limit=10)
    row = only_row()
    assert (row.state, row.error, row.next_attempt_at is None) == (state, error, state != "waiting")
    fake_clock.advance(minutes=1)
    attempts = 1 + sending.run(limit=10)
    assert attempts == (2 if state == "waiting" else 1)
    assert (relayed.paths, relayed.ids) == (["/kaspi/"] * attempts, [stored.message_id] * attempts)


@pytest.mark.parametrize(("status", "sent"), [(422, 2), (500, 1)])
def test_a_4xx_is_about_one_event_and_a_5xx_about_the_endpoint(stored, relayed, delivery, status, sent):
    """An ERP that is away is tried once in a round, however many events are due."""
    flag(delivery, "not_found")
    relayed.answers.append((status, {}))
    sending.run(limit=10)
    assert len(relayed.ids) == sent


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("written", ["1800", "date"])
def test_retry_after_is_waited_for(stored, relayed, fake_clock, status, written):
    """In seconds or as a date, by every event of the endpoint."""
    date = (timezone.now() + timedelta(minutes=30)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    relayed.answers.append((status, {"Retry-After": date if written == "date" else written}))
    sending.run(limit=10)
    assert timedelta(minutes=20) < only_row().next_attempt_at - fake_clock.now <= timedelta(minutes=30)
    flag(stored.delivery, "not_found")
    fake_clock.advance(minutes=19)
    assert sending.run(limit=10) == 0
    fake_clock.advance(minutes=11)
    assert sending.run(limit=10) == 2


def test_both_secrets_of_a_rotation_verify(relay_to, erp, delivery):
    """So that the ERP may change its secret at any time."""
    with ERP(secret=OTHER_SECRET) as changed:
        places = {"erp": erp, "changed": changed}
        relay_to(**{name: {"URL": one.url, "SECRETS": [OTHER_SECRET, SECRET]} for name, one in places.items()})
        flag(delivery)
        assert sending.run(limit=10) == 2
        assert erp.bodies == changed.bodies


def test_an_endpoint_that_is_gone_from_the_settings_keeps_its_events(stored, relayed, relay_to):
    """They are sent when it is back: a deployment may have lost a variable."""
    relay_to()
    assert sending.run(limit=10) == 0
    relay_to(erp=relayed)
    assert sending.run(limit=10) == 1


def test_a_slow_erp_delays_no_other(relay_to, erp, delivery, monkeypatch):
    """Each has its share of a round, which ends: a booking waits for no more than this."""
    monkeypatch.setattr(sending, "ROUND_S", 0.0)
    with ERP() as slow:
        relay_to(slow=slow, erp=erp)
        flag(delivery, "refused", "not_found", "too_old")
        assert [sending.run(limit=10) for _ in range(4)] == [1, 1, 1, 1]
        assert (len(slow.ids), len(erp.ids)) == (2, 2)


def test_an_erp_that_does_not_answer_is_left_alone_for_ten_times_as_long(stored, relayed, fake_clock, monkeypatch):
    """So it takes a tenth of the worker's time at the most."""
    monkeypatch.setattr(sending, "TOTAL_S", 0.05)
    relayed.is_open.clear()
    assert sending.run(limit=10) == 0
    rest = sending._rests_until["erp"] - fake_clock.now
    assert rest >= timedelta(seconds=0.5)
    RelayedEvent.objects.update(next_attempt_at=fake_clock.now)
    relayed.is_open.set()
    assert sending.run(limit=10) == 0
    monkeypatch.setattr(sending, "TOTAL_S", PATIENCE_S)
    fake_clock.now += rest
    assert sending.run(limit=10) == 1


def trickle(listening, pauses_s):
    """Answer one request with a success whose head comes byte by byte."""
    with suppress(OSError):
        peer, _address = listening.accept()
        with peer:
            for byte in b"HTTP/1.1 204 No Content\r\nX-Slow: " + b"." * 500 + b"\r\n\r\n":
                peer.sendall(bytes([byte]))
                time.sleep(pauses_s)


def test_an_answer_that_trickles_is_not_waited_for(relay_to, delivery, monkeypatch):
    """The limit is for the whole exchange, not for each read."""
    monkeypatch.setattr(sending, "TOTAL_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        pool.submit(trickle, listening, 0.01)
        relay_to(erp={"URL": f"http://127.0.0.1:{listening.getsockname()[1]}/", "SECRETS": [SECRET]})
        flag(delivery)
        assert sending.run(limit=10) == 0
    assert only_row().error.startswith("no answer from the endpoint: ")


def test_a_couriers_booking_goes_first(relayed, drain, kaspi, stored):
    """In the round in which an event is due, the calls are sent before it."""
    seen = []
    relayed.take, take = (lambda *request: seen.append(len(kaspi.deliveries)) or take(*request)), relayed.take
    drain()
    assert set(seen) == {1}


@committed
def test_a_worker_that_is_killed_loses_nothing(erp, due, relay_to):
    """What it had sent and not recorded comes a second time, with the same id, once its claim has ended."""
    relay_to(default=erp)
    with clock.replaced(timezone.now):
        flag(due.delivery, "refused", "not_found")
    due.delete()  # the worker has no Kaspi
    erp.is_open.clear()
    with worker(erp) as process:
        assert erp.arrived.acquire(timeout=PATIENCE_S)
        process.send_signal(signal.SIGKILL)
    erp.is_open.set()
    [doubled] = erp.ids
    with clock.replaced(timezone.now):
        assert sending.run(limit=10) == 1
    with clock.replaced(lambda: timezone.now() + LEASE):
        assert sending.run(limit=10) == 1
    assert sorted(erp.ids) == sorted([doubled, *RelayedEvent.objects.values_list("message_id", flat=True)])
    assert set(RelayedEvent.objects.values_list("state", flat=True)) == {"sent"}


def worker(erp):
    """Start a worker that has the app installed, and this ERP in its environment."""
    own = {
        "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
        "DATABASE": {"mysql": "mariadb"}.get(connection.vendor, connection.vendor),
        "KASPI_DELIVERY_RELAY_URL": erp.url,
        "KASPI_DELIVERY_RELAY_SECRETS": SECRET,
    }
    command = [sys.executable, "-m", "django", "kaspi_worker", "--settings=tests.relay.settings"]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, env={**environ, **own}, stdout=subprocess.DEVNULL)


@committed
def test_settings_that_are_wrong_lose_no_event(relay_to, erp, post_webhook, booked, drain, fake_clock):
    """The signal is repeated until they are right."""
    relay_to(erp={"URL": erp.url})
    post_webhook(event(booked, "accepted"))
    drain()
    assert not RelayedEvent.objects.exists()
    relay_to(erp=erp)
    fake_clock.advance(minutes=2)
    drain()
    assert [one["data"]["status"] for one in erp.events] == ["accepted"]


def test_old_rows_are_pruned(stored, relayed, relay_to, fake_clock):
    """Those that were sent, and those of an endpoint that is gone; what is due for its endpoint stays."""
    flag(stored.delivery, "not_found")
    sending.run(limit=1)
    fake_clock.advance(days=91)
    assert "relayed webhooks deleted: 1" in prune()
    assert only_row().state == "waiting"
    relay_to(another=relayed)
    assert "relayed webhooks deleted: 1" in prune()


def test_an_endpoint_with_an_error_keeps_none_of_our_old_rows(relay_to, fake_clock):
    """The command deletes ours first, and then fails."""
    WebhookEvent.objects.create(event_id="wh_1", body="{}", state="applied", received_at=fake_clock.now)
    fake_clock.advance(days=91)
    relay_to(erp={"URL": "erp.example"})
    with pytest.raises(ImproperlyConfigured):
        prune()
    assert not WebhookEvent.objects.exists()


def prune():
    """Run the command, and return what it printed."""
    printed = io.StringIO()
    call_command("kaspi_prune", stdout=printed)
    return printed.getvalue()


def test_a_delivery_may_be_deleted_before_its_event_is_sent(stored, relayed):
    """The event is complete without it; and of the answer the body is not read, however long it claims to be."""
    relayed.answers.append((200, {"Content-Length": "1000000000000"}))
    StatusChange.objects.all().delete()
    stored.delivery.delete()
    assert sending.run(limit=10) == 1
    assert json.loads(stored.body) == relayed.events[0]
