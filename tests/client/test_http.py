"""The client against a server that answers byte for byte."""

import json

import pytest

from kaspi_delivery_django import __version__
from kaspi_delivery_django.client import (
    PRODUCTION_URL,
    SANDBOX_URL,
    KaspiClient,
    RateLimited,
    ServerFault,
    Timeouts,
    UsageError,
)
from kaspi_delivery_django.client.types import check_base_url
from tests.client.conftest import API_KEY, BOOKED, http, request


def create(client):
    return client.create_delivery(request(), idempotency_key="order-742")


def head_and_body(raw):
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *rows = head.decode().split("\r\n")
    return first, dict(row.split(": ", 1) for row in rows), body


CALLS = {
    "POST /delivery/v1/deliveries HTTP/1.1": create,
    "GET /delivery/v1/deliveries/dlv%2F1?includeHistory=true HTTP/1.1": lambda client: client.get_delivery(
        "dlv/1", include_history=True
    ),
    "GET /delivery/v1/deliveries/dlv_1?includeHistory=false HTTP/1.1": lambda client: client.get_delivery("dlv_1"),
    "POST /delivery/v1/deliveries/dlv_1/cancel HTTP/1.1": lambda client: client.cancel_delivery(
        "dlv_1", reason="жоқ", idempotency_key="order-742-cancel"
    ),
    "POST /delivery/v1/webhooks/test HTTP/1.1": lambda client: client.send_test_webhook(
        "https://shop.kz/k/", "delivery.created"
    ),
}
ANSWER = {"deliveryId": "dlv_1", "status": "created", "eventId": "wh_1"}


@pytest.mark.parametrize(("line", "call"), CALLS.items(), ids=range(len(CALLS)))
def test_every_request(server, connect, line, call):
    """Each call asks for its own address and carries the key."""
    server.answer(http(200, {**ANSWER, "deliveryId": "dlv/1" if "%2F" in line else "dlv_1"}))
    call(connect(server))
    first, headers, _ = head_and_body(server.requests[0])
    assert (first, headers["x-api-key"]) == (line, API_KEY)


def test_the_headers_of_a_create(server, connect):
    """A write says what it is, and what it wants to hear; nothing else goes along."""
    server.answer(http(201, BOOKED))
    create(connect(server))
    _, headers, body = head_and_body(server.requests[0])
    assert headers == {
        "Host": server.url.split("/")[2],
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"kaspi-delivery-django/{__version__}",
        "X-Request-Id": headers["X-Request-Id"],
        "x-api-key": API_KEY,
        "Content-Type": "application/json",
        "Idempotency-Key": "order-742",
        "Content-Length": str(len(body)),
    }


def test_the_body_of_a_create(server, connect):
    """The body arrives byte for byte."""
    server.answer(http(201, BOOKED))
    create(connect(server))
    body = head_and_body(server.requests[0])[2]
    wanted = json.dumps(request().to_json(), ensure_ascii=False, separators=(",", ":"))
    assert body == wanted.encode()


def test_a_get_has_no_body(server, connect):
    """A read sends neither a body nor an idempotency key."""
    server.answer(http(200, BOOKED))
    connect(server).get_delivery("dlv_1")
    _, headers, body = head_and_body(server.requests[0])
    assert body == b""
    assert not {"Content-Type", "Content-Length", "Idempotency-Key"} & set(headers)


def test_each_call_is_tried_once(server, connect):
    """No error makes the client send by itself again."""
    server.answer(http(503), http(201, BOOKED))
    with pytest.raises(ServerFault):
        create(connect(server))
    assert len(server.requests) == 1


def test_reads_the_answer(server, connect):
    """A 201 becomes a delivery."""
    server.answer(http(201, BOOKED, headers=["X-Idempotent-Replay: true"]))
    delivery = create(connect(server))
    assert (delivery.delivery_id, delivery.status, delivery.replayed) == ("dlv_1", "created", True)


def test_header_names_of_any_case(server, connect):
    """Header names are compared without their case."""
    server.answer(http(429, headers=["RETRY-after: 7"]))
    with pytest.raises(RateLimited) as caught:
        create(connect(server))
    assert caught.value.retry_after_s == 7


def test_a_chunked_answer(server, connect):
    """An answer in chunks is put together."""
    body = json.dumps(BOOKED).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:]))
    server.answer(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n" % chunks)
    assert create(connect(server)).delivery_id == "dlv_1"


def test_an_answer_that_ends_with_the_connection(server, connect):
    """An answer without a length ends where the connection does."""
    server.answer(b"HTTP/1.0 201 Created\r\n\r\n" + json.dumps(BOOKED).encode())
    assert create(connect(server)).delivery_id == "dlv_1"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (PRODUCTION_URL, PRODUCTION_URL),
        (SANDBOX_URL + "/", SANDBOX_URL),
        ("https://kaspi.test:8443/a/b//", "https://kaspi.test:8443/a/b"),
        ("HTTPS://kaspi.test", "HTTPS://kaspi.test"),
        ("http://localhost:8900", "http://localhost:8900"),
        ("http://127.0.0.1:8900", "http://127.0.0.1:8900"),
        ("http://[::1]:8900", "http://[::1]:8900"),
        ("https://[2001:db8::1]/delivery", "https://[2001:db8::1]/delivery"),
        ("https://kaspi_1.test.", "https://kaspi_1.test."),
    ],
)
def test_base_urls(given, kept):
    """TLS anywhere, plain http on this machine; a last slash does not matter."""
    assert check_base_url(given) == kept


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "kaspi.test",
        "//kaspi.test",
        "https://",
        "https:///delivery",
        "http://kaspi.test",
        "http://127.0.0.1.kaspi.test",
        "http://localhost.kaspi.test",
        "http://192.168.0.1",
        "ftp://localhost",
        "file:///etc/passwd",
        "https://me:secret@kaspi.test",
        "https://me@kaspi.test",
        "https://@kaspi.test",
        "https://kaspi.test/?a=b",
        "https://kaspi.test?",
        "https://kaspi.test/#a",
        "https://kaspi.test#",
        "https://kaspi.test\\@example.com",
        "https://kaspi.test/доставка",
        "https://kaspi.test/a b",
        "https://kaspi .test",
        "https://kaspi.test\n",
        "https://kas\npi.test",
        " https://kaspi.test",
        "https://[::1",
        "https://kaspi.test:port",
        "https://kaspi.test:99999",
        "https://.kaspi.test",
        "https://*.kaspi.test",
        "https://kaspi..test",
        "https://[::1].kaspi.test",
        "https://kaspi.test[::1]",
        "https://[kaspi.test]",
        "https://[1::2::3]",
        "https://[]",
        "https://-kaspi.test",
        "https://kaspi%20.test",
    ],
)
def test_base_urls_that_cannot_be(base_url):
    """Anything else is the caller's mistake, found before anything is sent."""
    with pytest.raises(UsageError, match=r"^the base URL ") as caught:
        KaspiClient(API_KEY, base_url=base_url)
    assert "secret" not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("key", ["", " ", "k\r\nHost: x", "k\n", " k", "k ", "ключ", "k" * 256, None])
@pytest.mark.failure_mode("request: ids and line breaks")
def test_keys_that_cannot_stand_in_a_header(key):
    """Such a key is refused at once, and not repeated."""
    with pytest.raises(UsageError, match=r"^the API key must be 1 to 255 printable ASCII char"):
        KaspiClient(key)


def test_the_key_is_in_no_repr(connect):
    """A client's repr shows whom it talks to, and nothing else."""
    client = connect(PRODUCTION_URL)
    assert repr(client) == str(client) == f"KaspiClient(base_url='{PRODUCTION_URL}')"


@pytest.mark.failure_mode("request: slow or endless answer")
def test_the_default_deadlines():
    """5 s to connect, 10 s for a read, 15 s for everything."""
    assert (Timeouts().connect_s, Timeouts().read_s, Timeouts().total_s) == (5, 10, 15)


def test_the_default_is_production():
    """Without a base URL the client talks to production."""
    assert KaspiClient(API_KEY).base_url == "https://api.kaspi.kz/delivery"
