"""docs/relay.md: its receiver receives, and its example and its table are what is sent."""

import json
import re
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from kaspi_delivery_django.contrib.relay import conf, sending
from kaspi_delivery_django.contrib.relay.models import RelayedEvent
from kaspi_delivery_django.models import StatusChange
from kaspi_delivery_django.signals import delivery_created, delivery_status_changed
from tests.docs import pages
from tests.relay.erp import OTHER_SECRET, SECRET

pytestmark = pytest.mark.django_db

PAGE = "docs/relay.md"
TYPES = {"string": str, "integer": int, "boolean": bool, "null": type(None)}


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, *_args):
        """Keep quiet."""


@pytest.fixture
def receiver(monkeypatch, tmp_path):
    """Serve the page's receiver; return its database, and where it listens."""
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("ERP_DATABASE", str(tmp_path / "erp.sqlite3"))
    [block] = [block for block in pages.read(PAGE).blocks if "def application" in block.text]
    names = {}
    exec(block.text, names)
    with make_server("127.0.0.1", 0, names["application"], handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield names["database"], f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
    names["database"].close()


def test_the_receiver_stores_each_event_once_and_keeps_the_newest_status(receiver, relay_to, booked, fake_clock):
    """It knows a repeat by its id, and an older status by its sequence."""
    database, url = receiver
    relay_to(erp={"URL": url, "SECRETS": [SECRET]})
    first = StatusChange.objects.get()
    times = dict.fromkeys(("at", "notify_after", "created_at"), fake_clock.now)
    values = {"from_status": "created", "to_status": "accepted", "source": "webhook", "applied": True}
    newer = StatusChange.objects.create(delivery=booked, **times, **values)
    for change in (newer, first):
        delivery_status_changed.send(type(booked), delivery=booked, change=change)
        delivery_created.send(type(booked), delivery=booked)
        sending.run(limit=10)
    RelayedEvent.objects.update(next_attempt_at=fake_clock.now)
    assert sending.run(limit=10) == 3
    assert database.execute("SELECT count(*) FROM webhooks").fetchone() == (3,)
    assert database.execute("SELECT * FROM parcels").fetchall() == [(booked.delivery_id, "accepted", newer.pk)]


def test_the_receiver_refuses_what_is_not_signed(receiver, relay_to, booked):
    """By another secret, here."""
    database, url = receiver
    relay_to(erp={"URL": url, "SECRETS": [OTHER_SECRET]})
    delivery_created.send(type(booked), delivery=booked)
    assert sending.run(limit=10) == 0
    assert RelayedEvent.objects.get().error == "401 from the endpoint"
    assert database.execute("SELECT * FROM parcels").fetchall() == []


def test_the_example_and_the_table_are_what_is_sent(relayed, booked):
    """Field by field, with their types."""
    delivery_status_changed.send(type(booked), delivery=booked, change=StatusChange.objects.get())
    sending.run(limit=10)
    [sent] = [one for one in relayed.events if one["type"] == conf.STATUS_CHANGED]
    [example] = [json.loads(block.text) for block in pages.read(PAGE).blocks if block.language == "json"]
    for document in (sent, example):
        assert set(flat(document)) == set(documented())
        wrong = [name for name, value in flat(document).items() if not isinstance(value, documented()[name])]
        assert wrong == []


def flat(document):
    """Return the fields by their names in the table."""
    own = {name: value for name, value in document.items() if name != "data"}
    return {**own, **{f"data.{name}": value for name, value in document["data"].items()}}


def documented():
    found = {}
    for cells in pages.read(PAGE).rows:
        words = re.findall(r"string|integer|boolean|null", cells[1]) if len(cells) == 3 else ()
        for name in re.findall(r"`((?:data\.)?[a-z_]+)`", cells[0]) if words else ():
            found[name] = tuple(TYPES[word] for word in words)
    return found
