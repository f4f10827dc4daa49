"""B4: what comes in at the webhook."""

import hashlib
import hmac
import importlib
import json

import django.db
import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django import conf, urls
from kaspi_delivery_django.models import Delivery, WebhookEvent
from kaspi_delivery_django.sandbox.webhooks import sign
from kaspi_delivery_django.services.inbox import receiving, replaying
from kaspi_delivery_django.views import WebhookView
from tests.conftest import WEBHOOK_URL, event

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "another-secret-of-thirty-two-letters"


@pytest.fixture
def letter(booked):
    """Return an event about a delivery of ours."""
    return event(booked, "accepted")


def only_event():
    """Return the one event that was stored."""
    return WebhookEvent.objects.get()


def test_b4_a_body_over_64_kib_is_413_and_not_read(post_webhook):
    """One byte more than that is too much."""
    assert post_webhook(b"x" * (64 * 1024 + 1)).status_code == 413
    assert post_webhook(b"x" * (64 * 1024)).status_code == 400


@pytest.mark.parametrize(
    "headers", [{"Accept": "text/html"}, {"Cookie": "sessionid=x"}, {"Authorization": "Basic eDp4"}], ids=str
)
def test_b4_the_hosts_headers_change_nothing(client, turnable, letter, headers):
    """Nor do ?format= and a content type of another kind."""
    body, stamp = json.dumps(letter).encode(), str(int(turnable.timestamp()))
    signed = {"X-Kaspi-Timestamp": stamp, "X-Kaspi-Signature": _signature(stamp, body)}
    url = f"{WEBHOOK_URL}?format=xml"
    answer = client.post(url, body, content_type="text/plain", headers={**signed, **headers})
    assert (answer.status_code, answer.json()) == (200, {"status": "applied"})


@pytest.mark.parametrize(
    "stamp", ["123456789", "12345678901", "177236640x", "1772366400.0", " 1772366400", "\uff11" * 10]
)
def test_b4_the_timestamp_has_ten_ascii_digits(post_webhook, letter, caplog, stamp):
    """And nothing else, whatever is signed."""
    assert post_webhook(letter, timestamp=stamp, signature="0" * 64).status_code == 401
    assert "timestamp is not ten digits" in caplog.text


@pytest.mark.parametrize(("seconds", "status"), [(-301, 401), (-300, 200), (300, 200), (301, 401)])
def test_b4_the_timestamp_may_be_five_minutes_off(post_webhook, turnable, letter, seconds, status):
    """Inclusive, and in the future too."""
    stamp = str(int(turnable.timestamp()) + seconds)
    assert post_webhook(letter, timestamp=stamp).status_code == status


def test_b4_the_headers_own_text_is_signed(post_webhook, turnable, letter):
    """A signature of another second is none."""
    stamp = str(int(turnable.timestamp()))
    other = _signature(str(int(stamp) + 1), json.dumps(letter).encode())
    assert post_webhook(letter, timestamp=stamp, signature=other).status_code == 401


@pytest.mark.parametrize("signature", ["", "0" * 63, "0" * 65, "g" * 64, "é" * 64])
def test_b4_the_signature_has_64_hex_digits(post_webhook, letter, caplog, signature):
    """Anything else is refused before it is compared."""
    assert post_webhook(letter, signature=signature or "-").status_code == 401
    assert "signature is not 64 hex digits" in caplog.text


def test_b4_every_configured_secret_counts(post_webhook, settings, letter):
    """While they are rotated."""
    secrets = [*settings.KASPI_DELIVERY["WEBHOOK_SECRETS"], SECRET]
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "WEBHOOK_SECRETS": secrets}
    assert post_webhook(letter, secret=SECRET).status_code == 200


def test_b4_no_secret_is_503(post_webhook, settings, letter):
    """Never accept; that comes before the time is looked at."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "WEBHOOK_SECRETS": []}
    for stamp in (None, "1000000000"):
        assert post_webhook(letter, secret=SECRET, timestamp=stamp).status_code == 503
    assert not WebhookEvent.objects.exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"Aigerim", b"Aigerim \xff"),
        lambda text: b"[" + text + b"]",
        lambda text: text.replace(b'"note"', b'"eventId": "wh_2", "note"'),
        lambda text: text.replace(b'"Aigerim"', b"NaN"),
        lambda text: text.replace(b"wh_1", b"wh_\\u0000"),
        lambda text: text.replace(b"wh_1", b"wh_\\ud800"),
        lambda _text: b"{}",
    ],
    ids=["BOM", "not UTF-8", "a list", "a key twice", "NaN", "NUL", "a lone surrogate", "empty"],
)
def test_b4_a_signed_body_that_cannot_be_read_is_400_with_a_line(post_webhook, letter, caplog, spoil):
    """But for the one thing it is as it should be; the log says why, without its data."""
    good = json.dumps({**letter, "note": "Aigerim"}).encode()
    bad = spoil(good)
    assert bad != good
    assert post_webhook(bad).status_code == 400
    assert "webhook unreadable" in caplog.text
    assert "Aigerim" not in caplog.text
    assert not WebhookEvent.objects.exists()
    assert post_webhook(good).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 129, "wh ә"])
def test_b4_ids_are_1_to_128_printable_ascii(post_webhook, letter, key):
    """They are what we index."""
    assert post_webhook({**letter, "eventId": key}).status_code == 400


def test_b4_a_stranger_costs_no_query(client):
    """401 with one constant body."""
    with CaptureQueriesContext(connection) as queries:
        answers = [
            client.post(url, b"{}", content_type="application/json") for url in (WEBHOOK_URL, f"{WEBHOOK_URL}no/")
        ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(401, b'{"status": "unauthorized"}')}
    assert len(queries) == 0


def test_b4_another_method_is_405(client):
    """Kaspi posts."""
    assert client.get(WEBHOOK_URL).status_code == 405


def test_b4_a_database_that_cannot_commit_is_503_with_retry_after(post_webhook, letter, monkeypatch):
    """Kaspi sends it again."""

    def away(*_arguments):
        raise OperationalError

    monkeypatch.setattr(receiving, "_store_and_apply", away)
    answer = post_webhook(letter)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


def test_b4_atomic_requests_do_not_undo_the_event(post_webhook, letter, monkeypatch):
    """Not even when something fails behind the view."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    monkeypatch.setattr(WebhookView, "finalize_response", lambda *_arguments, **_options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        post_webhook(letter)
    assert only_event().state == "applied"


def test_b4_atomic_requests_are_off_on_every_alias(monkeypatch):
    """A shop may have several databases, each with its own setting."""
    try:
        with monkeypatch.context() as shop:
            shop.setattr(django.db, "connections", ["default", "archive"])
            assert importlib.reload(urls).webhook._non_atomic_requests == {"default", "archive"}
    finally:
        importlib.reload(urls)


def test_b4_the_same_event_again_is_only_counted(post_webhook, letter):
    """`attempt` differs, the meaning does not."""
    post_webhook(letter)
    assert post_webhook({**letter, "attempt": 4}).status_code == 200
    assert (only_event().received_count, only_event().attempt, only_event().state) == (2, 4, "applied")


def test_b4_the_same_event_with_other_data_is_a_conflict(post_webhook, letter):
    """The first is kept."""
    post_webhook(letter)
    other = {**letter, "data": {**letter["data"], "status": "delivered"}}
    assert post_webhook(other).json() == {"status": "conflict"}
    assert Delivery.objects.get().status == "accepted"


def test_b4_an_unknown_delivery_is_parked(post_webhook, letter):
    """200: it is committed."""
    other = {**letter["data"], "deliveryId": "dlv_0", "externalOrderId": "order-0"}
    assert post_webhook({**letter, "data": other}).json() == {"status": "parked"}


def test_b4_a_known_order_with_another_id_is_a_suspected_second_parcel(post_webhook, letter):
    """Parked, and flagged."""
    other = {**letter["data"], "deliveryId": "dlv_0"}
    assert post_webhook({**letter, "data": other}).json() == {"status": "parked"}
    assert Delivery.objects.get().attention == "second_parcel"


def test_b4_a_test_event_is_stored_and_marked(post_webhook, letter):
    """200, whatever its data: Kaspi was asked for it, and it moves nothing."""
    receiving.expect_test(conf.account("default"), "wh_1")
    assert post_webhook(letter).json() == {"status": "ignored"}
    assert only_event().error == "a test event"
    assert Delivery.objects.get().status == "created"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace(b'"Aigerim"', b"[" * 40 + b"]" * 40),
        lambda text: text.replace(b'"note"', b'"type": "delivery.delivered", "note"'),
        lambda text: text.replace(b'"type"', b'"kind"'),
        lambda text: text.replace(b'"data"', b'"date"'),
        lambda text: text.replace(b'"status": "accepted"', b'"status": "acc epted"'),
    ],
    ids=["deep", "a key twice", "no type", "no data", "an unusable status"],
)
def test_b4_a_signed_event_is_never_refused_for_what_it_holds(post_webhook, letter, caplog, spoil):
    """It is a dead letter with its reason; no data of it is in the log, and it can be replayed."""
    assert post_webhook(spoil(json.dumps({**letter, "note": "Aigerim"}).encode())).json() == {"status": "failed"}
    assert only_event().error
    assert "Aigerim" not in caplog.text + only_event().error
    assert replaying.replay_event(only_event()) == "failed"
    assert Delivery.objects.get().status == "created"


def test_b4_a_signature_without_the_timestamp_is_refused_and_the_log_says_so(post_webhook, letter, caplog):
    """Kaspi's prose and samples disagree; the samples are right."""
    body = json.dumps(letter).encode()
    bare = hmac.new(django_settings.KASPI_DELIVERY["WEBHOOK_SECRETS"][0].encode(), body, hashlib.sha256).hexdigest()
    assert post_webhook(letter, signature=bare).status_code == 401
    assert "without the timestamp" in caplog.text


def _signature(stamp, body):
    return sign(django_settings.KASPI_DELIVERY["WEBHOOK_SECRETS"][0], stamp, body)
