"""Webhook events over the API, and the command that follows them."""

import io
import json
import queue
import threading
from contextlib import contextmanager

import pytest
import requests
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from kaspi_delivery_django import conf
from kaspi_delivery_django.api.management.commands import kaspi_listen
from kaspi_delivery_django.api.management.commands.kaspi_listen import Listener
from kaspi_delivery_django.api.views import EventPagination
from kaspi_delivery_django.client.webhooks import verify
from kaspi_delivery_django.models import WebhookEvent
from kaspi_delivery_django.services import inbox
from tests.api.conftest import problem, token_of
from tests.conftest import PATIENCE_S, event
from tests.http_server import answering

pytestmark = pytest.mark.django_db
EVENTS = "/kaspi/api/v1/events/"
BOTH = ("view_webhookevent", "view_personal_data")


@pytest.fixture
def three(booked, post_webhook):
    """Return the keys of three events."""
    for number, status in enumerate(("created", "accepted", "in_transit"), start=1):
        assert post_webhook(event(booked, status, event_id=f"wh_{number}")).status_code == 200
    return list(WebhookEvent.objects.order_by("pk").values_list("pk", flat=True))


def test_events_are_shown_as_received(three, program, booked):
    """The newest first; those after one, the oldest first."""
    api = program(*BOTH, views=False)
    rows = api.get(EVENTS).json()["results"]
    assert [row["id"] for row in rows] == three[::-1]
    assert json.loads(rows[0]["body"]) == event(booked, "in_transit", event_id="wh_3")
    assert (rows[0]["state"], rows[0]["delivery"]) == ("applied", booked.pk)
    first = api.get(EVENTS, {"after": three[0], "page_size": 1}).json()
    second = api.get(first["next"]).json()
    assert [row["id"] for page in (first, second) for row in page["results"]] == three[1:]
    assert second["next"] is None


@pytest.mark.parametrize("names", [(), BOTH[:1], BOTH[1:]])
def test_events_need_two_permissions(program, names):
    """Their bodies may name customers."""
    answer = program(*names).get(EVENTS)
    assert problem(answer) == (403, "permission_denied")
    assert all(f"kaspi_delivery.{name}" in answer.json()["detail"] for name in set(BOTH) - set(names))


def test_junk_is_refused(program):
    """As for deliveries."""
    api = program(*BOTH)
    for query in ({"after": "-1"}, {"after": "9" * 30}, {"after": "x"}, {"page": "1"}, {"cursor": "x"}):
        assert problem(api.get(EVENTS, query))[0] == 400


@pytest.fixture
def laptop():
    """Return a server of this machine: its address, and a queue of the webhooks that it got."""
    got = queue.Queue()

    def answer(_path, headers, body):
        got.put((body, headers["X-Kaspi-Timestamp"], headers["X-Kaspi-Signature"]))
        return 200, {}, b""

    with answering(answer) as port:
        yield f"http://127.0.0.1:{port}/kaspi/webhook/", got


@pytest.fixture
def listening(monkeypatch, live_server, program):
    """Return a context that runs the command in a thread; it yields what is printed."""
    monkeypatch.setenv("KASPI_LISTEN_TOKEN", token_of(program(*BOTH)))

    @contextmanager
    def run(*options):
        made, out = [], io.StringIO()

        def make(**values):
            made.append(Listener(**{**values, "interval_s": 0.01}))
            return made[0]

        monkeypatch.setattr(kaspi_listen, "Listener", make)
        arguments = ("kaspi_listen", f"{live_server.url}/kaspi/api/v1/", *options)
        thread = threading.Thread(target=call_command, args=arguments, kwargs={"stdout": out})
        thread.start()
        try:
            yield out
        finally:
            made[0].stop.set()
            thread.join(PATIENCE_S)

    return run


@pytest.mark.django_db(transaction=True)
def test_a_developer_gets_each_webhook_once_signed_with_the_own_secret(laptop, three, booked, post_webhook, listening):
    """The last two of the past, and the next one; a real server sends, another one receives."""
    address, got = laptop
    with listening("--forward", address, "--last", "2") as out:
        first = [got.get(timeout=PATIENCE_S) for _ in range(2)]
        post_webhook(event(booked, "out_for_delivery", event_id="wh_4"))
        received = [*first, got.get(timeout=PATIENCE_S)]
    assert [json.loads(body)["eventId"] for body, _stamp, _signature in received] == ["wh_2", "wh_3", "wh_4"]
    assert got.empty()
    for body, stamp, signature in received:
        secrets = django_settings.KASPI_DELIVERY["WEBHOOK_SECRETS"]
        verify(body, timestamp=stamp, signature=signature, secrets=secrets, now=timezone.now().timestamp())
    assert "delivery.in_transit order-" in out.getvalue()
    assert "-> 200" in out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_the_token_goes_only_to_the_address_that_was_given(three, live_server, program, monkeypatch):
    """Whatever address the shop gives for the next page: behind a proxy it may believe to be http."""
    monkeypatch.setattr(EventPagination, "page_size_query_param", None)
    monkeypatch.setattr(EventPagination, "page_size", 1)
    asked, got = [], []
    listener = Listener(
        url=f"{live_server.url}/kaspi/api/v1/", token=token_of(program(*BOTH)), receive=got.append, log=print
    )
    get = listener._get

    def page_of_elsewhere(url, **parameters):
        asked.append(url)
        page = get(url, **parameters)
        return {**page, "next": page["next"] and page["next"].replace(live_server.url, "http://elsewhere.kz")}

    monkeypatch.setattr(listener, "_get", page_of_elsewhere)
    for one in listener._later():
        listener._take(one)
    assert [one["id"] for one in got] == three
    assert len(asked) == 3
    assert all(url.startswith(f"{live_server.url}/kaspi/api/v1/events/") for url in asked)


@pytest.mark.django_db(transaction=True)
def test_a_test_event_is_listed_once_it_has_come(listening, laptop, program, post_webhook, booked):
    """Not while it is only expected: it would be forwarded without a body, and never with it."""
    inbox.expect_test(conf.account("default"), "wh_test_1")
    assert program(*BOTH).get(EVENTS).json()["results"] == []
    address, got = laptop
    with listening("--forward", address, "--last", "1"):
        post_webhook(event(booked, "created", event_id="wh_test_1"))
        body, _stamp, _signature = got.get(timeout=PATIENCE_S)
    assert json.loads(body)["eventId"] == "wh_test_1"


@pytest.mark.django_db(transaction=True)
def test_a_program_without_the_permissions_ends(live_server, program):
    """With the permission that it needs."""
    listener = Listener(
        url=f"{live_server.url}/kaspi/api/v1/", token=token_of(program()), receive=print, log=print, interval_s=0.01
    )
    with pytest.raises(CommandError, match="view_webhookevent"):
        listener.run()


@pytest.mark.parametrize(("wait", "seconds"), [("Sun, 01 Mar 2026 12:00:00 GMT", 1), ("soon", 1), ("7", 7)])
def test_any_retry_after_is_waited_for(monkeypatch, wait, seconds):
    """A proxy before the shop may name a date, or nonsense; the listener goes on."""
    answer = requests.Response()
    answer.status_code, answer._content, answer.headers["Retry-After"] = 429, b"{}", wait
    monkeypatch.setattr(requests.Session, "get", lambda *_args, **_options: answer)
    listener = Listener(url="https://your-shop/kaspi/api/v1/", token="t", receive=print, log=print)
    waited = []
    monkeypatch.setattr(listener.stop, "wait", lambda s: waited.append(s) or True)
    assert listener._get(listener.url) is None
    assert waited == [seconds]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["http://your-shop/kaspi/api/v1/"], "must start with https"),
        (["https://your-shop/kaspi/api/v1/", "--forward", "http://example.com/"], "must start with https"),
        (["https://your-shop/kaspi/api/v1/", "--forward", "https://example.com/"], "of this machine"),
        (["https://your-shop/kaspi/api/v1/", "--forward", "http://127.0.0.1/", "--account", "x"], "no webhook secret"),
    ],
)
def test_a_mistake_is_named(monkeypatch, arguments, words):
    """A token leaves by HTTPS alone, and a customer's data goes nowhere but to this machine."""
    monkeypatch.setenv("KASPI_LISTEN_TOKEN", "t")
    with pytest.raises(CommandError, match=words):
        call_command("kaspi_listen", *arguments)
    monkeypatch.delenv("KASPI_LISTEN_TOKEN")
    with pytest.raises(CommandError, match="KASPI_LISTEN_TOKEN"):
        call_command("kaspi_listen", *arguments)
