"""What any address that takes Kaspi's webhooks must do.

Subclass `WebhookContract` in a test module, or `WebhookSmoke` for one more address of the same view. Give it
the address (`url`) and the webhook secret that the settings hold for it (`secret`): every promise about
strangers' input is tested there.
It needs pytest-django, and no other fixture than its own.
"""

import hashlib
import hmac
import json
import logging
import socket
from collections import Counter
from copy import deepcopy
from datetime import UTC, datetime

import pytest
from asgiref.sync import async_to_sync
from django.db import InterfaceError, OperationalError, connection
from django.test import AsyncClient, Client

from kaspi_delivery_django.models import WebhookEvent
from kaspi_delivery_django.services import clock

NOW = 1767225600
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


def nested(depth):
    """Return lists in lists, so many of them."""
    return [nested(depth - 1)] if depth > 1 else []


def mac(secret, message):
    """Sign as Kaspi's samples do: a second witness beside the code under test."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def signature(secret, stamp, body):
    """Sign a body at a timestamp, which may be no timestamp at all."""
    return mac(secret, stamp.encode() + b"." + body)


class AsgiSender:
    """A client that speaks ASGI, which does not cut the body at the declared size."""

    def generic(self, method, **request):
        async def send():
            return await AsyncClient().generic(method, **request)

        return async_to_sync(send)()


class FailingDatabase:
    """An execute wrapper that lets nothing reach a table."""

    def __init__(self, error):
        self.error = error

    def __call__(self, execute, sql, params, many, context):
        if sql.startswith(ROWS):
            raise self.error
        return execute(sql, params, many, context)


FORMLESS_STAMPS = {
    "empty": "",
    "nine digits": "176722560",
    "eleven digits": "17672256000",
    "leading space": f" {STAMP}",
    "trailing space": f"{STAMP} ",
    "trailing newline": f"{STAMP}\n",
    "plus": f"+{STAMP[1:]}",
    "minus": f"-{STAMP[1:]}",
    "fraction": f"{STAMP}.0",
    "underscore": "1_76722560",
    "hexadecimal": "0x69559900",
    "Arabic digits": "١٧٦٧٢٢٥٦٠٠",  # digits to Python, not to Kaspi
    "sent twice": f"{STAMP},{STAMP}",
    "milliseconds": f"{STAMP}000",
}
FORMLESS_SIGNATURES = {
    "empty": "",
    "63 digits": "a" * 63,
    "65 digits": "a" * 65,
    "no hex": "g" * 64,
    "prefix": "sha256=" + "a" * 57,
    "trailing newline": "a" * 64 + "\n",
    "full-width digits": "\uff11" * 64,
    "sent twice": "a" * 64 + "," + "a" * 64,
    "not ASCII": "\xe9" * 64,
}
UNREADABLE = {
    "empty": b"",
    "no JSON": b"phone=" + PHONE.encode(),
    "single quotes": b"{'eventId': 'wh_1'}",
    "two documents": event() + event(),
    "not UTF-8": event().replace(b"wh_contract", b"wh_\xff\xfe"),
    "UTF-16": event().decode().encode("utf-16"),
    "overlong UTF-8": event().replace(b"wh_contract", b"wh_\xc0\xaf"),
    "surrogate in UTF-8": event().replace(b"wh_contract", b"wh_\xed\xa0\x80"),
    "BOM": b"\xef\xbb\xbf" + event(),
    "a list": b"[" + event() + b"]",
    "a text": b'"wh_contract"',
    "null": b"null",
    "a raw NUL": event().replace(b"wh_contract", b"wh_\x00"),
    "two eventIds": event().replace(b'"type"', b'"eventId": "wh_2", "type"'),
    "NaN": event(x=float("nan")),
    "Infinity": event(x=float("inf")),
    "-Infinity": event(x=float("-inf")),
    "never closed": b'{"x": ' + b"[" * 60000,
    "no eventId": event(eventId=None),
    "empty eventId": event(eventId=""),
    "eventId of 129": event(eventId="w" * 129),
    "eventId with newline": event(eventId="wh\n1"),
    "eventId with NUL": event(eventId="wh\0"),
    "eventId with surrogate": event(eventId="wh\ud800"),
    "eventId not ASCII": event(eventId="событие"),
    "eventId with outer space": event(eventId="wh_1 "),
    "eventId a fraction": event(eventId=7.5),
    "eventId a boolean": event(eventId=True),
    "eventId a list": event(eventId=["wh_1"]),
}
FAILED, IGNORED, PARKED = "failed", "ignored", "parked"
SET_ASIDE = {
    "duplicate key": (FAILED, event().replace(b'"attempt": 1', b'"attempt": 1, "attempt": 2')),
    "duplicate key in data": (FAILED, event().replace(b'"status"', b'"status": "created", "status"')),
    "33 deep": (FAILED, event(x=nested(32))),
    "30000 deep": (FAILED, event(x=1).replace(b'"x": 1', b'"x": ' + b"[" * 30000 + b"]" * 30000)),
    "no type": (FAILED, event(type=None)),
    "type of 65": (FAILED, event(type="t" * 65)),
    "type with NUL": (FAILED, event(type="delivery.\0")),
    "type a number": (FAILED, event(type=1)),
    "no data": (FAILED, event(data=None)),
    "data a list": (FAILED, event(data=[DATA])),
    "no deliveryId": (FAILED, data(deliveryId=None)),
    "deliveryId of 129": (FAILED, data(deliveryId="d" * 129)),
    "deliveryId with NUL": (FAILED, data(deliveryId="dlv\0")),
    "deliveryId a path": (FAILED, data(deliveryId="..")),
    "externalOrderId with surrogate": (FAILED, data(externalOrderId="\udfff")),
    "externalOrderId in Cyrillic": (FAILED, data(externalOrderId="заказ-5")),
    "no status": (FAILED, data(status=None)),
    "status of 65": (FAILED, data(status="s" * 65)),
    "status with space": (FAILED, data(status="in transit")),
    "status a number": (FAILED, data(status=4)),
    "another family": (IGNORED, event(type="payout.made")),
    "a new kind without a status": (IGNORED, event(type="delivery.eta_changed", data={**DATA, "status": None})),
    "a new kind without data": (IGNORED, event(type="delivery.eta_changed", data=None)),
    "no externalOrderId": (PARKED, data(externalOrderId=None)),
    "a new kind with a known status": (PARKED, event(type="delivery.returned")),
}
ATTEMPTS = [0, -1, 2.0, None, "2", "x", True, [], {}, 2**31, 10**400, 1.5]
WELCOME = {
    "32 deep": event(x=nested(31)),
    "ids of 128": event(eventId="w" * 128, data={**DATA, "deliveryId": "d" * 128}),
    "numbers as ids": event(eventId=123, data={**DATA, "deliveryId": 7, "externalOrderId": 742}),
    "infinite in disguise": event(x=1).replace(b'"x": 1', b'"x": 1e999'),
    "5000 digits": event(x=1).replace(b'"x": 1', b'"x": ' + b"1" * 5000),
    "unknown fields": event(x={"y": [1, 2.5, None]}),
    "NUL and surrogates in what we do not index": event(x="\0 \ud800"),
    "beyond the basic plane": event(x="\U0001f4e6").decode().encode(),
    "without attempt": event(attempt=None),
    "the greatest attempt": event(attempt=2**31 - 1),
}


CONTENT_TYPES = (
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/xml",
    "application/json; charset=utf-16",
    "x",
    "",
)


def cases(named):
    """Parametrize by a table of named cases."""
    return pytest.mark.parametrize("case", [pytest.param(named[name], id=name) for name in named])


@pytest.mark.django_db
class WebhookSmoke:
    """What each address must do on each host, in short."""

    url: str
    secret: str

    @pytest.fixture(autouse=True)
    def _clock_stands_still(self, monkeypatch):
        monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(NOW, UTC))

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
        """Post a body, signed as Kaspi does unless told otherwise."""

        def send(body=None, *, sender=client, headers=None, **options):
            body = event() if body is None else body
            signed = {**self.headers(body), **(headers or {})}
            kept = {name: value for name, value in signed.items() if value is not None}
            options = {"path": self.url, "content_type": "application/json", **options}
            return sender.generic("POST", data=body, headers=kept, **options)

        return send

    @pytest.fixture
    def refused(self, post, django_assert_num_queries):
        """Post what must not be trusted: no query, nothing sent out, one constant answer."""

        def send(*args, **options):
            with django_assert_num_queries(0):
                answer = post(*args, **options)
            assert (answer.status_code, answer.content) == (401, b'{"status": "unauthorized"}')
            assert "WWW-Authenticate" not in answer.headers
            return answer

        return send

    def headers(self, body, *, stamp=STAMP, secret=None):
        """Return Kaspi's two headers."""
        signed = signature(secret or self.secret, stamp, body)
        return {"X-Kaspi-Timestamp": stamp, "X-Kaspi-Signature": signed}

    def stored(self):
        """Return the ids of the events in the inbox."""
        return list(WebhookEvent.objects.values_list("event_id", flat=True))

    def test_a_signed_event_is_stored_and_answered_200(self, post):
        """2xx means that the event is in the inbox, byte for byte."""
        answer = post()
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
        assert WebhookEvent.objects.get().body.encode() == event()

    @pytest.mark.failure_mode("webhook: headers and settings of the host")
    def test_csrf_and_cookies_change_nothing(self, post):
        """Kaspi has no session and no token; stale ones do no harm."""
        strict = Client(enforce_csrf_checks=True)
        strict.cookies["sessionid"] = strict.cookies["csrftoken"] = "stale"
        headers = {"Origin": "https://elsewhere.example", "Referer": "https://elsewhere.example/"}
        assert post(sender=strict, headers=headers).status_code == 200

    def test_a_strangers_session_costs_no_query(self, client, django_assert_num_queries, settings):
        """The host may ask for the user, or save the session, on each request: not for one to this address."""
        settings.SESSION_SAVE_EVERY_REQUEST = True
        client.cookies["sessionid"] = "x" * 32
        for sender in (client, AsgiSender()):
            headers = {"X-Kaspi-Signature": "f" * 64, "Cookie": f"sessionid={'x' * 32}"}
            with django_assert_num_queries(0):
                assert sender.generic("POST", path=self.url, data=event(), headers=headers).status_code == 401

    @pytest.mark.failure_mode("webhook: headers and settings of the host")
    def test_content_type_accept_and_query_change_nothing(self, post):
        """The signature is over bytes, the answer is JSON, and no renderer is chosen by the address."""
        for content_type in CONTENT_TYPES:
            assert post(content_type=content_type).status_code == 200
        for accept in ("text/html", "application/xml", "image/png;q=0", "x", ""):
            assert post(headers={"Accept": accept})["Content-Type"] == "application/json"
        for query in ("?format=html", "?format=", "?format=json&x=%00", "?%ff"):
            assert post(path=f"{self.url}{query}").status_code == 200

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "X"])
    @pytest.mark.failure_mode("webhook: method")
    def test_any_other_method_is_405(self, client, django_assert_num_queries, method, caplog):
        """Even signed; nothing is read for it."""
        with django_assert_num_queries(0):
            answers = [client.generic(method, self.url, event(), headers=self.headers(event())) for _ in range(5)]
        assert {(answer.status_code, answer["Allow"]) for answer in answers} == {(405, "POST")}
        assert len(caplog.records) == 1

    @pytest.mark.failure_mode("webhook: size")
    def test_one_byte_more_is_413(self, post, django_assert_num_queries):
        """However well it is signed."""
        with django_assert_num_queries(0):
            assert post(padded(KIB_64 + 1)).status_code == 413

    def test_a_wrong_secret_is_401(self, refused):
        """The form alone opens nothing."""
        refused(headers=self.headers(event(), secret="x" * 40))

    @pytest.mark.failure_mode("webhook: a stranger")
    def test_every_refusal_looks_the_same(self, post, caplog):
        """A stranger learns nothing; the log holds no header and no secret."""
        forged = [
            {"X-Kaspi-Timestamp": None},
            {"X-Kaspi-Signature": "f" * 64},
            {"X-Kaspi-Signature": mac(self.secret, event())},
            self.headers(event(), stamp=str(NOW - 301)),
        ]
        answers = [post(headers=headers) for headers in forged]
        faces = Counter((a.status_code, a.content, str(a.headers)) for a in answers)
        assert list(faces.values()) == [len(forged)]
        assert len(caplog.records) == len(forged)  # ours alone: django.request would log, or mail, each one
        assert self.secret not in caplog.text
        assert "f" * 64 not in caplog.text

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
    @pytest.mark.failure_mode("webhook: the database fails")
    def test_a_failing_database_is_503_and_nothing_stored(self, post, error):
        """Kaspi is asked to come again, and when it does the event is as new."""
        with connection.execute_wrapper(FailingDatabase(error)):
            answer = post()
        assert (answer.status_code, int(answer["Retry-After"]) > 0) == (503, True)
        assert self.stored() == []
        assert post().status_code == 200
        assert WebhookEvent.objects.get().received_count == 1


class WebhookContract(WebhookSmoke):
    """Everything that an address must do. Subclass as `class TestMine(WebhookContract): url = "/my/"; secret = "…"`."""

    # What is accepted

    @pytest.mark.failure_mode("webhook: the same event again")
    def test_the_same_event_again_is_200_and_one_row(self, post):
        """Kaspi repeats until it reads a 2xx."""
        assert [post().status_code for _ in range(3)] == [200, 200, 200]
        assert WebhookEvent.objects.get().received_count == 3

    @cases(WELCOME)
    def test_what_is_unusual_but_readable_is_stored(self, post, case):
        """Strict is not narrow: unknown fields and long ids are Kaspi's right."""
        assert post(case).status_code == 200
        assert len(self.stored()) == 1

    @cases(SET_ASIDE)
    @pytest.mark.failure_mode("webhook: an event that cannot be applied")
    def test_what_cannot_be_applied_is_stored_with_its_reason(self, post, caplog, case):
        """Kaspi signed it and named the event: it is not lost, whatever it holds, and staff read why."""
        state, body = case
        assert post(body).json() == {"status": state}
        row = WebhookEvent.objects.get()
        assert (row.event_id, row.state, bool(row.error)) == ("wh_contract", state, True)
        assert PHONE not in caplog.text + row.error
        assert post(body).json() == {"status": state}
        assert WebhookEvent.objects.get().received_count == 2

    @pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
    def test_any_attempt_is_stored(self, post, attempt):
        """It is a number for the statistics, and no reason to refuse an event."""
        assert post(event().replace(b'"attempt": 1', b'"attempt": ' + json.dumps(attempt).encode())).status_code == 200
        assert 0 <= WebhookEvent.objects.get().attempt <= 2**31 - 1

    @pytest.mark.parametrize("off_s", [-300, -299, 0, 299, 300])
    @pytest.mark.failure_mode("webhook: timestamp")
    def test_a_timestamp_within_300_s_is_accepted(self, post, off_s):
        """Both edges belong to the window, the future too."""
        assert post(headers=self.headers(event(), stamp=str(NOW + off_s))).status_code == 200

    @pytest.mark.parametrize("place", range(5))
    @pytest.mark.failure_mode("webhook: several secrets")
    def test_each_of_five_secrets_opens(self, post, give_secrets, place):
        """A secret can be rotated without losing an event."""
        secrets = [f"{number}-another-secret-of-32-letters-or-more" for number in range(5)]
        give_secrets(secrets)
        assert post(headers=self.headers(event(), secret=secrets[place])).status_code == 200

    def test_an_upper_case_signature_is_the_same_number(self, post):
        """Hex digits have no case."""
        signed = signature(self.secret, STAMP, event()).upper()
        assert post(headers={"X-Kaspi-Signature": signed}).status_code == 200

    @pytest.mark.failure_mode("webhook: headers and settings of the host")
    def test_credentials_change_nothing(self, post):
        """An Authorization header is not looked at."""
        assert post(headers={"Authorization": "Basic bad", "X-Api-Key": "x"}).status_code == 200

    # Method and size

    def test_a_get_cannot_be_overridden(self, client):
        """No header makes a POST of it."""
        override = {"X-HTTP-Method-Override": "POST", **self.headers(b"")}
        assert client.get(self.url, headers=override).status_code == 405

    def test_a_post_cannot_be_overridden(self, post):
        """No header makes anything else of it."""
        assert post(headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 200

    def test_64_kib_are_read(self, post):
        """The limit belongs to what is accepted."""
        assert post(padded(KIB_64)).status_code == 200

    def test_a_declared_size_is_believed_at_once(self, post, django_assert_num_queries):
        """A body that says it is too large is not waited for."""
        with django_assert_num_queries(0):
            assert post(CONTENT_LENGTH=str(KIB_64 + 1)).status_code == 413

    @pytest.mark.parametrize("declared", ["10", "", "0"])
    def test_too_small_a_declared_size_gains_nothing(self, post, declared):
        """Where the server hands over more than was declared, the limit still holds."""
        headers = {**self.headers(padded(KIB_64 + 1)), "Content-Length": declared}
        assert post(padded(KIB_64 + 1), sender=AsgiSender(), headers=headers).status_code == 413
        assert self.stored() == []

    @pytest.mark.parametrize("declared", ["-1", "ten", "²", "1e3", "9" * 5000, "\uff11"])
    def test_an_unreadable_declared_size_is_no_crash(self, post, declared):
        """A header that a careless server lets through is answered, not raised."""
        assert post(CONTENT_LENGTH=declared).status_code in {401, 413}

    # Headers and signature

    @cases(FORMLESS_STAMPS)
    @pytest.mark.failure_mode("webhook: timestamp")
    def test_a_timestamp_of_another_form_is_401(self, refused, case):
        """Exactly ten ASCII digits, even where the signature over the rest would match."""
        refused(headers=self.headers(event(), stamp=case))

    @cases(FORMLESS_SIGNATURES)
    @pytest.mark.failure_mode("webhook: signature")
    def test_a_signature_of_another_form_is_401(self, refused, case):
        """Exactly 64 hex digits."""
        refused(headers={"X-Kaspi-Signature": case})

    @pytest.mark.parametrize("missing", ["X-Kaspi-Timestamp", "X-Kaspi-Signature"])
    def test_a_missing_header_is_401(self, refused, missing):
        """Both are needed."""
        refused(headers={missing: None})

    @pytest.mark.parametrize("off_s", [-86400, -301, 301, 86400])
    @pytest.mark.failure_mode("webhook: timestamp")
    def test_a_timestamp_beyond_300_s_is_401(self, refused, off_s):
        """An old event cannot be replayed by who overheard it, nor one be kept for later."""
        refused(headers=self.headers(event(), stamp=str(NOW + off_s)))

    @pytest.mark.failure_mode("webhook: several secrets")
    def test_a_sixth_secret_is_not_tried(self, refused, give_secrets):
        """Five are enough to rotate with, and bound the work for a stranger's request."""
        secrets = [f"{number}-another-secret-of-32-letters-or-more" for number in range(6)]
        give_secrets(secrets)
        refused(headers=self.headers(event(), secret=secrets[5]))

    @pytest.mark.failure_mode("webhook: signature")
    def test_a_changed_body_is_401(self, refused):
        """One byte is enough."""
        refused(event().replace(b"accepted", b"accepteD"), headers=self.headers(event()))

    @pytest.mark.failure_mode("webhook: timestamp")
    def test_a_changed_timestamp_is_401(self, refused):
        """The signature covers it."""
        refused(headers={"X-Kaspi-Timestamp": str(NOW + 1)})

    @pytest.mark.parametrize("place", [0, 31, 63])
    @pytest.mark.failure_mode("webhook: signature")
    def test_a_changed_signature_is_401(self, refused, place):
        """Any digit counts, the first and the last."""
        right = signature(self.secret, STAMP, event())
        digit = "1" if right[place] == "0" else "0"
        refused(headers={"X-Kaspi-Signature": right[:place] + digit + right[place + 1 :]})

    @pytest.mark.failure_mode("webhook: signed without the timestamp")
    def test_a_signature_over_the_body_alone_is_401_and_logged(self, refused, caplog):
        """It could be replayed for ever; the log says which rule was broken."""
        refused(headers={"X-Kaspi-Signature": mac(self.secret, event())})
        assert "over the body alone" in caplog.text

    # Nothing to verify with

    @pytest.mark.parametrize("secrets", [[], ["short"], ["x" * 7], [" " * 40]])
    @pytest.mark.failure_mode("webhook: no secret")
    def test_without_a_secret_is_503(self, post, give_secrets, django_assert_num_queries, caplog, secrets):
        """Nothing is accepted unverified; Kaspi comes again, and the log says once what to set."""
        give_secrets(secrets)
        with django_assert_num_queries(0):
            answers = [post(headers=self.headers(event(), secret=(secrets or ["x"])[0])) for _ in range(5)]
        assert {(answer.status_code, int(answer["Retry-After"]) > 0) for answer in answers} == {(503, True)}
        [record] = caplog.records
        assert (record.levelno, "WEBHOOK_SECRETS" in record.getMessage()) == (logging.ERROR, True)

    def test_settings_that_cannot_be_read_are_503(self, post, settings, caplog):
        """Kaspi comes again when they are corrected; the log names the command that says what is wrong."""
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "WEBHOOK_SECRET": "a typing error"}
        answers = [post() for _ in range(5)]
        assert {(answer.status_code, answer.content) for answer in answers} == {(503, b'{"status": "not configured"}')}
        [record] = caplog.records
        assert "manage.py check" in record.getMessage()

    def test_the_same_refusal_is_logged_once_a_minute(self, post, caplog):
        """Whoever knows the address cannot fill the disk; the count of those left out comes with the next line."""
        for _ in range(50):
            post(headers={"X-Kaspi-Signature": "f" * 64})
            post(padded(KIB_64 + 1))
        assert len(caplog.records) == 2

    @pytest.mark.failure_mode("webhook: no secret")
    def test_the_headers_form_comes_before_the_secrets(self, refused, give_secrets):
        """Who does not even look like Kaspi does not learn that nothing is configured."""
        give_secrets([])
        refused(headers={"X-Kaspi-Signature": "none"})

    # Signed, but unreadable

    @cases(UNREADABLE)
    @pytest.mark.failure_mode("webhook: a body that cannot be read")
    def test_a_signed_body_that_cannot_be_read_is_400(self, post, django_assert_num_queries, caplog, case):
        """The log says why, without what it says; nothing is asked of the database."""
        with django_assert_num_queries(0):
            assert post(case).status_code == 400
        [record] = [each for each in caplog.records if each.name.startswith("kaspi_delivery")]
        assert record.levelno == logging.WARNING
        assert PHONE not in caplog.text
        assert "wh_" not in caplog.text

    @cases(UNREADABLE)
    def test_what_cannot_be_read_is_401_while_it_is_not_signed(self, refused, case):
        """Nobody learns from a forged body how far it came."""
        refused(case, headers=self.headers(case, secret="x" * 40))

    # When the database fails
