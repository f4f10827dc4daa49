"""The contract of an address that receives Kaspi's webhooks: in full for one, as a smoke test for each other.

A subclass sets the address (`url`) and the webhook secret that the settings hold for it (`secret`).
"""

import hashlib
import hmac
import json
import logging
import socket
from collections import Counter
from copy import deepcopy

import pytest
from asgiref.sync import async_to_sync
from django.db import InterfaceError, OperationalError, connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.models import WebhookEvent
from tests.conftest import NOON

NOW = int(NOON.timestamp())
STAMP = str(NOW)
KIB_64 = 64 * 1024
PHONE = "+7 701 555 0199"
DATA = {
    "deliveryId": "dlv_contract",
    "externalOrderId": "order-contract",
    "status": "accepted",
    "timestamp": "2026-01-01T00:00:00Z",
}
EVENT = {"eventId": "wh_contract", "type": "delivery.accepted", "attempt": 1, "data": DATA}
ROWS = ("SELECT", "INSERT", "UPDATE", "DELETE")


def event(**changes):
    """Return the bytes of an event with other fields; None leaves one out."""
    document = {**EVENT, "note": PHONE, **changes}
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


def data(**changes):
    """Return the bytes of an event with other fields in its data; None leaves one out."""
    found = {**DATA, **changes}
    return event(data={key: value for key, value in found.items() if value is not None})


def padded(size):
    """Return an event of so many bytes."""
    return event().ljust(size)


def mac(secret, message):
    """Sign as Kaspi's samples do, independently of the code under test."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def signature(secret, stamp, body):
    """Sign a body at a timestamp, which may be invalid."""
    return mac(secret, stamp.encode() + b"." + body)


class AsgiSender:
    """A client that speaks ASGI, which does not cut the body at the declared size."""

    def generic(self, method, **request):
        async def send():
            return await AsyncClient().generic(method, **request)

        return async_to_sync(send)()


class FailingDatabase:
    """An execute wrapper that fails every statement on a table."""

    def __init__(self, error):
        self.error = error

    def __call__(self, execute, sql, params, many, context):
        if sql.startswith(ROWS):
            raise self.error
        return execute(sql, params, many, context)


UNREADABLE = {
    "empty": b"",
    "no JSON": b"phone=" + PHONE.encode(),
    "not UTF-8": event().replace(b"wh_contract", b"wh_\xff\xfe"),
    "two eventIds": event().replace(b'"type"', b'"eventId": "wh_2", "type"'),
    "never closed": b'{"x": ' + b"[" * 60000,
    "no eventId": event(eventId=None),
    "eventId with NUL": event(eventId="wh\0"),
}
FAILED, IGNORED, PARKED = "failed", "ignored", "parked"
SET_ASIDE = {
    "duplicate key": (FAILED, event().replace(b'"attempt": 1', b'"attempt": 1, "attempt": 2')),
    "30000 deep": (FAILED, event(x=1).replace(b'"x": 1', b'"x": ' + b"[" * 30000 + b"]" * 30000)),
    "no type": (FAILED, event(type=None)),
    "no data": (FAILED, event(data=None)),
    "deliveryId with NUL": (FAILED, data(deliveryId="dlv\0")),
    "externalOrderId with surrogate": (FAILED, data(externalOrderId="\udfff")),
    "no status": (FAILED, data(status=None)),
    "another family": (IGNORED, event(type="payout.made")),
    "a new kind without data": (IGNORED, event(type="delivery.eta_changed", data=None)),
    "no externalOrderId": (PARKED, data(externalOrderId=None)),
    "a new kind with a known status": (PARKED, event(type="delivery.returned")),
}


CONTENT_TYPES = ("text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "x", "")


def cases(named):
    """Parametrize by a table of named cases."""
    return pytest.mark.parametrize("case", [pytest.param(named[name], id=name) for name in named])


@pytest.mark.django_db
@pytest.mark.usefixtures("fake_clock")
class WebhookSmoke:
    """The behaviour of each address on each host, in short."""

    url: str
    secret: str

    @pytest.fixture(autouse=True)
    def _no_outbound_requests(self, monkeypatch):
        def refuse(_self, address):
            raise AssertionError(f"an outbound request to {address}")

        monkeypatch.setattr(socket.socket, "connect", refuse)

    @pytest.fixture
    def give_secrets(self, settings):
        """Change the webhook secrets of every account."""

        def give(secrets):
            changed = deepcopy(settings.KASPI_DELIVERY)
            for account in (changed, *changed.get("ACCOUNTS", {}).values()):
                account["WEBHOOK_SECRETS"] = secrets
            settings.KASPI_DELIVERY = changed

        return give

    @pytest.fixture
    def post(self, client):
        """Post a body, signed as Kaspi does unless the caller changes it."""

        def send(body=None, *, sender=client, headers=None, **options):
            body = event() if body is None else body
            signed = {**self.headers(body), **(headers or {})}
            kept = {name: value for name, value in signed.items() if value is not None}
            options = {"path": self.url, "content_type": "application/json", **options}
            return sender.generic("POST", data=body, headers=kept, **options)

        return send

    @pytest.fixture
    def refused(self, post, django_assert_num_queries):
        """Post an untrusted request: no query, and one constant answer."""

        def send(*args, **options):
            with django_assert_num_queries(0):
                answer = post(*args, **options)
            assert (answer.status_code, answer.content) == (401, b'{"status": "unauthorized"}')
            assert "WWW-Authenticate" not in answer.headers

        return send

    def headers(self, body, *, stamp=STAMP, secret=None):
        """Return Kaspi's two headers."""
        signed = signature(secret or self.secret, stamp, body)
        return {"X-Kaspi-Timestamp": stamp, "X-Kaspi-Signature": signed}

    def test_a_signed_event_is_stored_and_answered_200(self, post):
        """2xx means that the event is in the inbox, byte for byte."""
        answer = post()
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
        assert WebhookEvent.objects.get().body.encode() == event()

    @pytest.mark.failure_mode("webhook: headers and settings of the host")
    def test_cookies_and_headers_change_nothing(self, post):
        """Kaspi has no session and no token; the signature is over bytes, and the answer is always JSON."""
        strict = Client(enforce_csrf_checks=True)
        strict.cookies["sessionid"] = strict.cookies["csrftoken"] = "stale"
        headers = {"Origin": "https://elsewhere.example", "Referer": "https://elsewhere.example/"}
        headers |= {"Authorization": "Basic bad", "X-Api-Key": "x", "X-HTTP-Method-Override": "DELETE"}
        assert post(sender=strict, headers=headers).status_code == 200
        for content_type in CONTENT_TYPES:
            assert post(content_type=content_type).status_code == 200
        for accept in ("text/html", "application/xml", "image/png;q=0", "x", ""):
            assert post(headers={"Accept": accept})["Content-Type"] == "application/json"
        for query in ("?format=html", "?format=", "?format=json&x=%00", "?%ff"):
            assert post(path=f"{self.url}{query}").status_code == 200

    def test_a_strangers_session_costs_no_query(self, client, django_assert_num_queries, settings):
        """Though the host asks for the user, or saves the session, on each request."""
        settings.SESSION_SAVE_EVERY_REQUEST = True
        client.cookies["sessionid"] = "x" * 32
        for sender in (client, AsgiSender()):
            headers = {"X-Kaspi-Signature": "f" * 64, "Cookie": f"sessionid={'x' * 32}"}
            with django_assert_num_queries(0):
                assert sender.generic("POST", path=self.url, data=event(), headers=headers).status_code == 401

    @pytest.mark.failure_mode("webhook: method")
    @pytest.mark.failure_mode("webhook: size")
    def test_another_method_is_405_and_one_byte_more_is_413(self, client, post, django_assert_num_queries, caplog):
        """However well it is signed; nothing is queried for it, and the log has one line for each."""
        with django_assert_num_queries(0):
            for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "X"):
                headers = {**self.headers(event()), "X-HTTP-Method-Override": "POST"}
                answer = client.generic(method, self.url, event(), headers=headers)
                assert (answer.status_code, answer["Allow"]) == (405, "POST")
            assert len(caplog.records) == 1
            assert [post(padded(KIB_64 + 1)).status_code for _ in range(2)] == [413, 413]
            assert len(caplog.records) == 2

    @pytest.mark.failure_mode("webhook: a stranger")
    @pytest.mark.failure_mode("webhook: signed without the timestamp")
    def test_every_refusal_looks_the_same(self, post, caplog):
        """A stranger learns nothing; the log holds no header and no secret."""
        forged = [
            {"X-Kaspi-Timestamp": None},
            {"X-Kaspi-Signature": None},
            {"X-Kaspi-Signature": "\xe9" * 64},
            {"X-Kaspi-Signature": "f" * 64},
            {"X-Kaspi-Signature": mac(self.secret, event())},
            self.headers(event(), stamp=str(NOW - 301)),
            self.headers(event(), secret="x" * 40),
        ]
        answers = [post(headers=headers) for headers in forged]
        faces = Counter((a.status_code, a.content, str(a.headers)) for a in answers)
        assert list(faces.values()) == [len(forged)]
        assert len(caplog.records) == 6  # ours alone, once for each reason: Django would log, or mail, each request
        assert self.secret not in caplog.text
        assert "f" * 64 not in caplog.text
        assert "over the body alone" in caplog.text  # it could be replayed for ever: the broken rule is named

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
    @pytest.mark.failure_mode("webhook: the database fails")
    def test_a_failing_database_is_503_and_nothing_stored(self, post, error):
        """Kaspi is asked to send it again, and then it is stored as a new event."""
        with connection.execute_wrapper(FailingDatabase(error)):
            answer = post()
        assert (answer.status_code, int(answer["Retry-After"]) > 0) == (503, True)
        assert not WebhookEvent.objects.exists()
        assert post().status_code == 200
        assert WebhookEvent.objects.get().received_count == 1


class WebhookContract(WebhookSmoke):
    """Everything that an address must do."""

    @pytest.mark.failure_mode("webhook: the same event again")
    def test_the_same_event_again_is_200_and_one_row(self, post):
        """Kaspi repeats until it reads a 2xx."""
        assert [post().status_code for _ in range(3)] == [200, 200, 200]
        assert WebhookEvent.objects.get().received_count == 3

    @cases(SET_ASIDE)
    @pytest.mark.failure_mode("webhook: an event that cannot be applied")
    def test_an_event_that_cannot_be_applied_is_stored(self, post, caplog, case):
        """2xx means that we have the event: it is not lost, whatever it holds, and staff read why."""
        state, body = case
        assert post(body).json() == {"status": state}
        row = WebhookEvent.objects.get()
        assert (row.event_id, row.state, bool(row.error)) == ("wh_contract", state, True)
        assert PHONE not in caplog.text + row.error
        assert post(body).json() == {"status": state}
        assert WebhookEvent.objects.get().received_count == 2

    @pytest.mark.failure_mode("webhook: several secrets")
    def test_each_of_five_secrets_is_accepted(self, post, refused, give_secrets):
        """Enough to rotate without losing an event; a sixth is not tried, so a stranger's request costs little."""
        secrets = [f"{number}-another-secret-of-32-letters-or-more" for number in range(6)]
        give_secrets(secrets)
        for secret in secrets[:5]:
            assert post(headers=self.headers(event(), secret=secret)).status_code == 200
        refused(headers=self.headers(event(), secret=secrets[5]))

    @pytest.mark.failure_mode("webhook: size")
    def test_64_kib_are_read(self, post, django_assert_num_queries):
        """A body that declares more is refused at once; one that declares less, or no number, is still limited."""
        assert post(padded(KIB_64)).status_code == 200
        with django_assert_num_queries(0):
            assert post(CONTENT_LENGTH=str(KIB_64 + 1)).status_code == 413
            for declared in ("10", ""):
                headers = {**self.headers(padded(KIB_64 + 1)), "Content-Length": declared}
                assert post(padded(KIB_64 + 1), sender=AsgiSender(), headers=headers).status_code == 413
            for declared in ("-1", "ten", "²", "9" * 5000):
                assert post(CONTENT_LENGTH=declared).status_code in {401, 413}

    @pytest.mark.parametrize("secrets", [[], ["x" * 7], [" " * 40]])
    @pytest.mark.failure_mode("webhook: no secret")
    def test_without_a_secret_it_is_503(self, post, refused, give_secrets, django_assert_num_queries, caplog, secrets):
        """Nothing is accepted unverified, and the log names the setting once; the headers' form is checked before."""
        give_secrets(secrets)
        with django_assert_num_queries(0):
            answers = [post(headers=self.headers(event(), secret=(secrets or ["x"])[0])) for _ in range(5)]
        assert {(answer.status_code, int(answer["Retry-After"]) > 0) for answer in answers} == {(503, True)}
        [record] = caplog.records
        assert (record.levelno, "WEBHOOK_SECRETS" in record.getMessage()) == (logging.ERROR, True)
        refused(headers={"X-Kaspi-Signature": "none"})

    def test_invalid_settings_are_503(self, post, settings, caplog):
        """Kaspi sends it again once they are corrected; the log names the command that shows the mistake."""
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "WEBHOOK_SECRET": "a typing error"}
        answers = [post() for _ in range(5)]
        assert {(answer.status_code, answer.content) for answer in answers} == {(503, b'{"status": "not configured"}')}
        [record] = caplog.records
        assert "manage.py check" in record.getMessage()

    @cases(UNREADABLE)
    @pytest.mark.failure_mode("webhook: a body that cannot be read")
    def test_an_unreadable_body_is_400_only_if_it_is_signed(self, post, refused, caplog, case):
        """The log says why, without its data; nothing is queried, and a stranger learns nothing from a forged body."""
        refused(case, headers=self.headers(case, secret="x" * 40))
        caplog.clear()
        with CaptureQueriesContext(connection) as captured:
            assert post(case).status_code == 400
        [record] = [each for each in caplog.records if each.name.startswith("kaspi_delivery")]
        assert (record.levelno, len(captured)) == (logging.WARNING, 0)
        assert PHONE not in caplog.text
        assert "wh_" not in caplog.text
