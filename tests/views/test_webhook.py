"""The webhook endpoint at each of its addresses, and in a host project with hostile defaults."""

import json
import logging
import re
import shutil
import subprocess
from io import BytesIO
from unittest.mock import Mock

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.db import DatabaseError, OperationalError, connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.models import StatusChange, WebhookEvent
from kaspi_delivery_django.signals import delivery_created, delivery_status_changed
from kaspi_delivery_django.urls import account_webhook, webhook
from kaspi_delivery_django.views import webhook as view
from tests import webhook_contract
from tests.conftest import event
from tests.webhook_contract import PHONE, WebhookContract, WebhookSmoke

SECRET = "a-webhook-secret-of-thirty-two-chars-or-more"
ALMATY = "the-webhook-secret-of-the-almaty-merchant"
NEW_SECRET = "the-new-webhook-secret-of-the-almaty-merchant"
ASTANA = "the-webhook-secret-of-the-astana-merchant"
MERCHANTS = {
    "ENVIRONMENT": "sandbox",
    "ACCOUNTS": {
        "almaty": {"API_KEY": "key-almaty", "WEBHOOK_SECRETS": [ALMATY]},
        "astana": {"API_KEY": "key-astana", "WEBHOOK_SECRETS": [ASTANA]},
        "silent": {"API_KEY": "key-silent"},
    },
}
NODE = shutil.which("node")
NODE_SIGNS = """
const crypto = require("crypto");
const [secret, timestamp, body] = process.argv.slice(1);
const hmac = crypto.createHmac("sha256", secret).update(timestamp + "." + body);
process.stdout.write(hmac.digest("hex"));
"""


@pytest.fixture
def merchants(settings):
    """Two merchants, one account without a secret, and no default account."""
    settings.KASPI_DELIVERY = MERCHANTS


class TestDefaultUrl(WebhookContract):
    """The address of a shop with one merchant."""

    url, secret = "/kaspi/webhook/", SECRET


class TestDefaultUrlWithoutSlash(WebhookSmoke):
    """The same, as a person types it into the partner console."""

    url, secret = "/kaspi/webhook", SECRET


@pytest.mark.usefixtures("merchants")
class TestAccountUrl(WebhookSmoke):
    """The address of one of several merchants."""

    url, secret = "/kaspi/webhook/almaty/", ALMATY


@pytest.mark.usefixtures("merchants")
class TestAccountUrlWithoutSlash(WebhookSmoke):
    """The same, without the slash."""

    url, secret = "/kaspi/webhook/astana", ASTANA


@pytest.mark.usefixtures("hostile_host")
class TestOnAHostileHost(WebhookSmoke):
    """In a project whose defaults would each break a webhook."""

    url, secret = "/kaspi/webhook/", SECRET


@pytest.fixture
def merchants_post(merchants, post_webhook):
    """Post an event to an account's address, signed with a secret; return the answer."""
    body = webhook_contract.event()
    return lambda account, secret: post_webhook(body, secret=secret, url=f"/kaspi/webhook/{account}")


@pytest.mark.parametrize(
    ("account", "secret", "status"),
    [
        ("almaty/", ASTANA, 401),
        ("astana/", ALMATY, 401),
        ("nowhere/", ALMATY, 503),
        ("default/", ALMATY, 503),
        ("", ALMATY, 503),
        ("ALMATY/", ALMATY, 503),
        ("silent/", ALMATY, 503),
        ("silent/", "", 503),
    ],
)
def test_a_secret_is_valid_for_its_own_account_only(merchants_post, account, secret, status):
    """Nothing is stored or queried; an unknown account has the same answer as one without a secret."""
    answer = merchants_post(account, secret)
    assert (answer.status_code, answer.json()["status"]) in {(401, "unauthorized"), (503, "not configured")}
    assert answer.status_code == status


@pytest.mark.django_db
def test_the_same_event_id_is_two_events_in_two_accounts(merchants_post):
    """Kaspi numbers each merchant's events; a repeat counts in its own account only."""
    for account, secret in (("almaty/", ALMATY), ("astana/", ASTANA), ("almaty/", ALMATY)):
        assert merchants_post(account, secret).json() == {"status": "parked"}
    assert dict(WebhookEvent.objects.values_list("account", "received_count")) == {"almaty": 2, "astana": 1}


@pytest.mark.django_db
def test_a_secret_is_rotated_in_one_account(merchants_post, settings):
    """Both of its secrets are accepted meanwhile; the other account's stays."""
    for secrets, status in (([NEW_SECRET, ALMATY], 200), ([NEW_SECRET], 401)):
        accounts = {**MERCHANTS["ACCOUNTS"], "almaty": {"API_KEY": "key-almaty", "WEBHOOK_SECRETS": secrets}}
        settings.KASPI_DELIVERY = {**MERCHANTS, "ACCOUNTS": accounts}
        assert merchants_post("almaty/", ALMATY).status_code == status
        assert merchants_post("almaty/", NEW_SECRET).status_code == 200
        assert merchants_post("astana/", ASTANA).status_code == 200


@pytest.mark.usefixtures("fake_clock")
@pytest.mark.parametrize(
    "path",
    [
        "/kaspi/webhook/almaty%0A",
        "/kaspi/webhook%0A",
        "/kaspi/webhook/%00/",
        "/kaspi/webhook/алматы/",
        "/kaspi/webhook/" + "a" * 41 + "/",
        "/kaspi/webhook//",
        "/kaspi/webhook/almaty/astana/",
        "/kaspi/webhook/%2e%2e/",
    ],
)
def test_an_address_of_another_form_is_404(client, path):
    """An account in the log is one short word."""
    assert client.post(path, b"", "application/json").status_code == 404


def test_a_connection_that_breaks_is_400_and_logged(fake_clock, caplog):
    """Half a body is no event, and no crash."""

    class Broken(BytesIO):
        def read(self, *_size):
            raise OSError("the peer is gone")

    environ = RequestFactory()._base_environ(REQUEST_METHOD="POST", CONTENT_LENGTH="500", **{"wsgi.input": Broken()})
    assert webhook(WSGIRequest(environ)).status_code == 400
    assert "webhook unreadable" in caplog.text


@pytest.mark.django_db
def test_a_middleware_that_reads_the_body_changes_nothing(settings, post_webhook):
    """A host that logs bodies still hands us the same bytes."""
    settings.MIDDLEWARE = ["tests.views.test_webhook.read_body", *settings.MIDDLEWARE]
    assert post_webhook(webhook_contract.event()).status_code == 200


def read_body(get_response):
    """Read the body before the view does, as a host's middleware."""

    def middleware(request):
        assert request.body
        return get_response(request)

    return middleware


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
@pytest.mark.django_db(transaction=True)
def test_an_event_that_node_signed_is_accepted(post_webhook, delivery, fake_clock):
    """Kaspi's published sample, in its own language: two implementations agree on every byte."""
    body, stamp = json.dumps(event(delivery, "accepted")), str(int(fake_clock.timestamp()))
    command = [NODE, "-e", NODE_SIGNS, SECRET, stamp, body]
    signed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    for sent, status in ((body.replace("Z", "z"), 401), (body, 200)):
        assert post_webhook(sent.encode(), signature=signed).status_code == status
    delivery.refresh_from_db()
    assert delivery.status == "accepted"


def statements(captured):
    """Return the statements that do work: without the transaction's own."""
    own = re.compile(r"BEGIN|START TRANSACTION|COMMIT|SET ", re.IGNORECASE)
    return [query["sql"] for query in captured if not own.match(query["sql"])]


LOCKS = 1 if connection.features.has_select_for_update else 2  # SQLite has no row locks
HAPPY_PATH = LOCKS + 3


@pytest.mark.django_db(transaction=True)
def test_the_statements_of_a_webhook(delivery, post_webhook, monkeypatch, configure):
    """Five: lock, event, change, delivery, and one after a receiver has returned; six for a repeated event."""
    for signal in (delivery_created, delivery_status_changed):
        monkeypatch.setattr(signal, "receivers", [])
    with CaptureQueriesContext(connection) as captured:
        assert post_webhook(event(delivery, "accepted")).status_code == 200
    assert StatusChange.objects.get(to_status="accepted").notified_at
    assert len(statements(captured)) == HAPPY_PATH, statements(captured)
    with CaptureQueriesContext(connection) as captured:
        assert post_webhook(event(delivery, "accepted", attempt=2)).status_code == 200
    assert len(statements(captured)) <= 6, statements(captured)
    configure(RUNNER="inline")
    delivery_status_changed.connect(Mock(return_value=None), weak=False)
    with CaptureQueriesContext(connection) as captured:
        assert post_webhook(event(delivery, "in_transit", event_id="wh_2")).status_code == 200
    assert StatusChange.objects.get(to_status="in_transit").notified_at
    assert len(statements(captured)) == HAPPY_PATH + 1, statements(captured)


@pytest.mark.django_db(transaction=True)
@pytest.mark.failure_mode("webhook: the database fails")
def test_a_commit_that_fails_is_503_and_nothing_stored(delivery, post_webhook, drain, monkeypatch):
    """2xx is answered after the commit, not before; the shop gets no signal."""
    received = []

    def receive(change, **_sent):
        received.append(change.to_status)

    delivery_status_changed.connect(receive)
    with monkeypatch.context() as patched:
        patched.setattr(connection, "_commit", Mock(side_effect=OperationalError("server closed the connection")))
        answer = post_webhook(event(delivery, "accepted"))
    drain()
    assert received == []
    delivery.refresh_from_db()
    assert (answer.status_code, delivery.status) == (503, "created")
    assert not WebhookEvent.objects.exists()
    assert post_webhook(event(delivery, "accepted")).status_code == 200
    drain()
    assert received == ["accepted"]


@pytest.mark.usefixtures("hostile_host")
@pytest.mark.django_db(transaction=True)
@pytest.mark.failure_mode("webhook: ATOMIC_REQUESTS")
def test_atomic_requests_do_not_undo_an_event(delivery, post_webhook):
    """The event is committed by us, though the host wraps every view."""
    assert post_webhook(event(delivery, "accepted")).status_code == 200
    connection.close()
    assert WebhookEvent.objects.get().state == "applied"


def test_a_body_in_chunks_is_refused_with_a_hint(client, fake_clock, caplog):
    """WSGI reads none of it; the log names the setting, because it looks like a wrong secret."""
    stamp = str(int(fake_clock.timestamp()))
    headers = {"X-Kaspi-Timestamp": stamp, "X-Kaspi-Signature": "f" * 64, "Transfer-Encoding": "chunked"}
    answer = client.post("/kaspi/webhook/", b"", "application/json", headers=headers)
    assert (answer.status_code, answer.content) == (401, b'{"status": "unauthorized"}')
    assert "let the proxy buffer requests" in caplog.text


def test_an_alias_of_a_hosts_own_route_forges_no_log_line(fake_clock, caplog):
    """A route of the host's may let any text in."""
    request = RequestFactory().post("/hooks/", b"", "application/json")
    assert account_webhook(request, account="almaty\nERROR forged").status_code == 401
    [record] = caplog.records
    assert "\n" not in record.getMessage()


def test_a_line_is_logged_once_a_minute_with_the_count_of_the_others(fake_clock, caplog):
    """Or once in any other interval; each key has its own. A stranger may repeat what causes them."""
    throttled = view.ThrottledLog(logging.getLogger("tests.throttled"), ticks=fake_clock.timestamp)
    for _ in range(100):
        throttled.log(logging.WARNING, "refused: reason=%s", "no signature", key="a")
    throttled.log(logging.ERROR, "hourly", key="b", every_s=view.HOUR_S)
    fake_clock.advance(seconds=60)
    throttled.log(logging.WARNING, "refused: reason=%s", "no signature", key="a")
    fake_clock.advance(seconds=3539)
    throttled.log(logging.ERROR, "hourly", key="b", every_s=view.HOUR_S)
    assert [record.getMessage() for record in caplog.records] == [
        "refused: reason=no signature left_out=0",
        "hourly left_out=0",
        "refused: reason=no signature left_out=99",
    ]


@pytest.mark.usefixtures("merchants")
@pytest.mark.parametrize("alias", ["silent", "unknown"])
def test_an_account_without_a_secret_is_logged_once_an_hour(post_webhook, fake_clock, monkeypatch, caplog, alias):
    """Many projects mail each ERROR, and anybody can cause one."""
    monkeypatch.setattr(view.throttled_log, "_ticks", fake_clock.timestamp)
    for seconds, lines in ((0, 1), (3599, 1), (1, 2)):
        fake_clock.advance(seconds=seconds)
        assert post_webhook(b"{}", secret="", url=f"/kaspi/webhook/{alias}/").status_code == 503
        assert [record.levelno for record in caplog.records] == [logging.ERROR] * lines


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [DatabaseError(f"INSERT … {PHONE}"), ValueError(PHONE)], ids=["database", "other"])
def test_any_error_that_keeps_an_event_from_being_stored_is_503(delivery, post_webhook, caplog, error):
    """Kaspi sends it again; the log names the error, and not its text, which may hold the row."""
    with connection.execute_wrapper(webhook_contract.FailingDatabase(error)):
        answer = post_webhook(event(delivery, "accepted"))
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    [record] = [each for each in caplog.records if each.name.startswith("kaspi_delivery")]
    assert (record.levelno, type(error).__name__ in record.getMessage()) == (logging.ERROR, True)
    assert "701" not in caplog.text
