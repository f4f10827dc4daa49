"""From a signal to the shop's ERP: signed, at least once, with the same id and the same bytes at each attempt."""

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

import pytest
from django.db import connection
from django.utils import timezone

from kaspi_delivery_django.contrib.outgoing import LEASE
from kaspi_delivery_django.contrib.relay import events, sending
from kaspi_delivery_django.contrib.relay.models import RelayedEvent
from kaspi_delivery_django.models import Delivery, StatusChange
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.signals import delivery_created, delivery_needs_attention, delivery_status_changed
from tests.conftest import NOON, PATIENCE_S, event
from tests.relay.erp import ERP, OTHER_SECRET, SECRET
from tests.shop.models import Order
from tests.test_relay import ROOT, SETTINGS

pytestmark = pytest.mark.django_db(transaction=True)

PERSONAL = ("Aigerim", "Abay", "+7 727", "Almaty")


def types(erp):
    """Return the types of what has arrived."""
    return [one["type"] for one in erp.events]


def only_row():
    """Return the only row of the outbox."""
    return RelayedEvent.objects.get()


@pytest.fixture
def delivery(due):
    """Return a delivery that waits to be booked."""
    return due.delivery


@pytest.fixture
def stored(delivery, relayed):
    """Relay that staff are needed, and return the row."""
    delivery_needs_attention.send(Delivery, delivery=delivery, attention="refused")
    return only_row()


def test_an_order_is_followed_to_the_door(relayed, booked, post_webhook, drain):
    """What the shop's receivers learn arrives in the order of its sequence, and verified."""
    post_webhook(event(booked, "accepted"))
    drain()
    created, first, second = relayed.events
    assert types(relayed) == ["delivery.created", "delivery.status_changed", "delivery.status_changed"]
    assert [one["data"]["status"] for one in relayed.events] == ["created", "created", "accepted"]
    assert created["data"]["sequence"] < first["data"]["sequence"] < second["data"]["sequence"]
    assert second["data"]["previous_status"] == "created"
    assert second["timestamp"] == NOON.isoformat().replace("+00:00", "Z")
    assert set(RelayedEvent.objects.values_list("state", "error")) == {("sent", "")}
    assert relayed.paths == ["/kaspi/"] * 3


def test_an_event_names_the_delivery_and_no_person(relayed, booked):
    """What identifies it anywhere else is there."""
    booked.refresh_from_db()
    for one in relayed.events:
        assert one["data"]["external_order_id"] == booked.external_order_id
        assert (one["data"]["delivery_id"], one["data"]["order_id"]) == (booked.delivery_id, booked.object_id)
        assert one["data"]["tracking_url"] == booked.tracking_url
    assert not [word for word in PERSONAL for body in relayed.bodies if word.encode() in body]


def test_an_event_names_the_parcel_and_whether_it_goes_back(relayed, delivery):
    """A return that is delivered is back at the shop."""
    delivery.parcel, delivery.returned_generation = "almaty", 1
    delivery_needs_attention.send(Delivery, delivery=delivery, attention="refused")
    sending.run(limit=10)
    assert (relayed.events[0]["data"]["parcel"], relayed.events[0]["data"]["is_return"]) == ("almaty", True)


@pytest.mark.parametrize(("is_personal", "label"), [(True, ""), (False, "№ 742")])
def test_an_orders_name_is_relayed_unless_it_is_personal(relayed, delivery, is_personal, label):
    """The adapter decides that."""
    delivery.order_label, delivery.label_is_personal = "№ 742", is_personal
    delivery_needs_attention.send(Delivery, delivery=delivery, attention="refused")
    sending.run(limit=10)
    assert relayed.events[0]["data"]["order_label"] == label
    assert only_row().body.isascii()


def test_staff_are_needed(relayed, kaspi, drain):
    """The reason is the signal's."""
    kaspi.faults.add(Fault(operation="create", status=400))
    Order.objects.create()
    drain()
    assert [(one["type"], one["data"]["attention"]) for one in relayed.events] == [
        ("delivery.needs_attention", "refused")
    ]


def test_a_signal_that_is_repeated_is_relayed_once(relay_to, erp, booked):
    """To each endpoint: their receivers are called at least once."""
    with ERP() as other:
        relay_to(erp=erp, accounting=other)
        change = StatusChange.objects.get()
        for _ in range(3):
            delivery_created.send(Delivery, delivery=booked)
            delivery_status_changed.send(Delivery, delivery=booked, change=change)
        sending.run(limit=10)
        assert sorted(types(erp)) == sorted(types(other)) == ["delivery.created", "delivery.status_changed"]
        assert len({*erp.ids, *other.ids}) == 4


def test_an_endpoint_gets_the_events_that_it_wants(relay_to, erp, booked):
    """And the others have no row."""
    relay_to(erp={"URL": erp.url, "SECRETS": [SECRET], "EVENTS": ["delivery.needs_attention"]})
    delivery_created.send(Delivery, delivery=booked)
    delivery_needs_attention.send(Delivery, delivery=booked, attention="refused")
    assert only_row().type == "delivery.needs_attention"


def test_an_erp_that_is_away_gets_it_later(stored, relayed, turnable):
    """With the same id and the same bytes, however the delivery has changed meanwhile."""
    relayed.__exit__()
    assert sending.run(limit=10) == 0
    first = only_row()
    assert (first.state, first.attempts, first.error.partition(":")[0]) == (
        "waiting",
        1,
        "no answer from the endpoint",
    )
    Delivery.objects.update(status="delivered")
    with relayed:
        turnable.turn(hours=1)
        assert sending.run(limit=10) == 1
    assert relayed.ids == [stored.message_id]
    assert relayed.bodies == [stored.body.encode()]


def test_an_erp_that_is_away_is_tried_once_in_a_round(stored, relayed, delivery):
    """However many events wait for it."""
    delivery_needs_attention.send(Delivery, delivery=delivery, attention="not_found")
    relayed.answers.append((500, {}))
    sending.run(limit=10)
    assert sorted(RelayedEvent.objects.values_list("attempts", flat=True)) == [0, 1]


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_a_success(stored, relayed, status):
    """It is not sent again."""
    relayed.answers.append((status, {}))
    assert sending.run(limit=10) == 1
    assert (only_row().state, only_row().next_attempt_at) == ("sent", None)


@pytest.mark.parametrize("status", [302, 400, 404, 500])
def test_any_other_answer_is_retried(stored, relayed, turnable, status):
    """A redirect is not followed: a signature is for one address."""
    relayed.answers.append((status, {"Location": "/elsewhere/"}))
    sending.run(limit=10)
    row = only_row()
    assert (row.state, row.error) == ("waiting", f"{status} from the endpoint")
    turnable.turn(minutes=1)
    assert sending.run(limit=10) == 1
    assert (relayed.paths, relayed.ids) == (["/kaspi/"] * 2, [stored.message_id] * 2)


def test_what_an_erp_refuses_delays_no_other_event(stored, relayed, delivery):
    """A 4xx is about this event."""
    delivery_needs_attention.send(Delivery, delivery=delivery, attention="not_found")
    relayed.answers.append((422, {}))
    assert sending.run(limit=10) == 1
    assert len(relayed.received) == 2


def test_410_ends_it(stored, relayed, turnable):
    """The endpoint wants no more of them; staff see why."""
    relayed.answers.append((410, {}))
    sending.run(limit=10)
    turnable.turn(days=1)
    sending.run(limit=10)
    assert len(relayed.received) == 1
    assert (only_row().state, only_row().error) == ("failed", "410 from the endpoint: it wants no more of them")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("written", ["1800", "date"])
def test_retry_after_is_waited_for(stored, relayed, turnable, status, written):
    """In seconds or as a date, by every event of the endpoint."""
    date = (timezone.now() + timedelta(minutes=30)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    relayed.answers.append((status, {"Retry-After": date if written == "date" else written}))
    sending.run(limit=10)
    pause = only_row().next_attempt_at - turnable.now
    assert timedelta(minutes=20) < pause <= timedelta(minutes=30)
    delivery_needs_attention.send(Delivery, delivery=stored.delivery, attention="not_found")
    turnable.turn(minutes=19)
    assert sending.run(limit=10) == 0
    turnable.turn(minutes=11)
    assert sending.run(limit=10) == 2


@pytest.mark.parametrize("unreadable", ["", "soon", "-5", "Mon, 99 Xyz 2026", "9" * 400])
def test_a_retry_after_that_cannot_be_read_is_bounded(unreadable):
    """An endpoint cannot switch itself off by accident."""
    assert 0 <= sending._seconds(unreadable) <= sending.LONGEST_REST_S


def test_both_secrets_of_a_rotation_verify(relay_to, erp, delivery):
    """So that the ERP may change its secret at any time."""
    with ERP(secret=OTHER_SECRET) as changed:
        relay_to(
            **{
                alias: {"URL": one.url, "SECRETS": [OTHER_SECRET, SECRET]}
                for alias, one in {"erp": erp, "changed": changed}.items()
            }
        )
        delivery_needs_attention.send(Delivery, delivery=delivery, attention="refused")
        assert sending.run(limit=10) == 2
        assert erp.bodies == changed.bodies


def test_a_wrong_secret_is_retried(relay_to, erp, delivery, turnable):
    """Correct it, and the event arrives."""
    relay_to(erp={"URL": erp.url, "SECRETS": [OTHER_SECRET]})
    delivery_needs_attention.send(Delivery, delivery=delivery, attention="refused")
    sending.run(limit=10)
    assert (only_row().error, erp.received) == ("401 from the endpoint", [])
    relay_to(erp=erp)
    turnable.turn(minutes=1)
    assert sending.run(limit=10) == 1


def test_an_endpoint_that_is_gone_from_the_settings_keeps_its_events(stored, relayed, relay_to, turnable):
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
        for reason in ("refused", "not_found", "too_old"):
            delivery_needs_attention.send(Delivery, delivery=delivery, attention=reason)
        assert [sending.run(limit=10) for _ in range(4)] == [1, 1, 1, 1]
        assert (len(slow.received), len(erp.received)) == (2, 2)


def test_a_round_takes_what_it_has_time_for(relayed, delivery):
    """With an ERP that answers, all of a batch."""
    for reason in ("refused", "not_found", "too_old"):
        delivery_needs_attention.send(Delivery, delivery=delivery, attention=reason)
    assert sending.run(limit=2) == 2
    assert sending.run(limit=2) == 1


def test_an_erp_that_does_not_answer_is_left_alone_for_ten_times_as_long(stored, relayed, turnable, monkeypatch):
    """So it takes a tenth of the worker's time at the most."""
    monkeypatch.setattr(sending, "TOTAL_S", 0.05)
    relayed.is_open.clear()
    assert sending.run(limit=10) == 0
    assert only_row().error.startswith("no answer from the endpoint: ")
    rest = sending._rests_until["erp"] - turnable.now
    assert rest >= timedelta(seconds=0.5)
    RelayedEvent.objects.update(next_attempt_at=turnable.now)
    relayed.is_open.set()
    assert sending.run(limit=10) == 0
    monkeypatch.setattr(sending, "TOTAL_S", PATIENCE_S)
    turnable.now += rest
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
        delivery_needs_attention.send(Delivery, delivery=delivery, attention="refused")
        assert sending.run(limit=10) == 0
    assert only_row().error.startswith("no answer from the endpoint: ")


def test_a_couriers_booking_goes_first(relayed, drain, kaspi, stored):
    """In the round in which an event is due, the calls are sent before it."""
    seen = []
    relayed.take, take = (lambda *request: seen.append(len(kaspi.deliveries)) or take(*request)), relayed.take
    drain()
    assert seen
    assert set(seen) == {1}


def test_two_workers_send_each_event_once(relayed, delivery, at_once):
    """Each claims a row before it sends it."""
    for reason in ("refused", "not_found", "too_old", "not_wanted"):
        delivery_needs_attention.send(Delivery, delivery=delivery, attention=reason)
    done = at_once(*[lambda: sending.run(limit=10)] * 2)
    assert sum(done) == 4
    assert len(relayed.received) == len(set(relayed.ids)) == 4


def test_a_worker_that_is_killed_loses_nothing(erp, due, relay_to):
    """What it had sent and not recorded comes a second time, with the same id, once its claim has ended."""
    relay_to(default=erp)
    with clock.replaced(timezone.now):
        for reason in ("refused", "not_found"):
            delivery_needs_attention.send(Delivery, delivery=due.delivery, attention=reason)
    due.delete()  # the worker has no Kaspi
    erp.is_open.clear()
    with worker(erp) as process:
        erp.wait_for_request()
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
    """Start a worker whose settings are the environment's."""
    own = {
        "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
        "KASPI_DELIVERY_RELAY_URL": erp.url,
        "KASPI_DELIVERY_RELAY_SECRETS": SECRET,
    }
    command = [sys.executable, "-m", "django", "kaspi_worker", f"--settings={SETTINGS}"]
    return subprocess.Popen(command, cwd=ROOT, env={**environ, **own}, stdout=subprocess.DEVNULL)


def test_settings_that_are_wrong_lose_no_event(relay_to, erp, post_webhook, booked, drain, turnable):
    """The signal is repeated until they are right."""
    relay_to(erp={"URL": erp.url})
    post_webhook(event(booked, "accepted"))
    drain()
    assert not RelayedEvent.objects.exists()
    relay_to(erp=erp)
    turnable.turn(minutes=2)
    drain()
    assert [one["data"]["status"] for one in erp.events] == ["accepted"]


def test_old_rows_are_pruned(stored, relayed, relay_to, turnable):
    """Those that were sent, and those of an endpoint that is gone; what waits for its endpoint stays."""
    delivery_needs_attention.send(Delivery, delivery=stored.delivery, attention="not_found")
    sending.run(limit=1)
    later = turnable.now + timedelta(days=1)
    how = {"before": later, "batch": 10}
    assert sum(events.prune(**how, dry_run=True)) == sum(events.prune(**how, dry_run=False)) == 1
    assert only_row().state == "waiting"
    relay_to(another=relayed)
    assert sum(events.prune(**how, dry_run=False)) == 1


def test_a_delivery_may_be_deleted_before_its_event_is_sent(stored, relayed):
    """The event is complete without it."""
    StatusChange.objects.all().delete()
    stored.delivery.delete()
    assert sending.run(limit=10) == 1
    assert json.loads(stored.body) == relayed.events[0]


def test_the_body_of_an_answer_is_not_read(stored, relayed):
    """However long it is, or says it is."""
    relayed.answers.append((200, {"Content-Length": "1000000000000"}))
    assert sending.run(limit=10) == 1
