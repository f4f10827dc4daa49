"""What the client sends, and what it reads in whole answers."""

import json
import logging
import secrets

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from kaspi_delivery_django import __version__
from kaspi_delivery_django.client import (
    PRODUCTION_URL,
    KaspiClient,
    KaspiError,
    NotReached,
    OutcomeUnknown,
    Refused,
    Timeouts,
    UsageError,
    protocol,
)
from kaspi_delivery_django.client import http as client_http
from kaspi_delivery_django.client.types import is_identifier
from tests.client.conftest import API_KEY, BOOKED, OPERATIONS, create, http, request
from tests.http_server import free_port

PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)
IDENTIFIERS = st.text(PRINTABLE, min_size=1, max_size=128).filter(is_identifier)
ANNOUNCED = [
    "Deprecation: @1767225600",
    "Sunset: Thu, 31 Dec 2026 23:59:59 GMT",
    'Warning: 299 - "v1 ends"',
    'Link: <https://kaspi.kz/v2>; rel="successor-version"',
]


def head_and_body(raw):
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *rows = head.decode().split("\r\n")
    return first, dict(row.split(": ", 1) for row in rows), body


@pytest.fixture
def ids(monkeypatch):
    """Number the exchanges."""
    numbers = iter(range(1, 9))
    monkeypatch.setattr(secrets, "token_hex", lambda _size: f"exchange-{next(numbers)}")


def test_every_request(server, connect):
    """Each call has its own address and carries the key, a get no body; all of them share a connection."""
    server.answer(*[http(200, {"deliveryId": "dlv_1", "status": "created", "eventId": "wh_1"})] * 4)
    client = connect(server)
    create(client)
    client.get_delivery("dlv_1", include_history=True)
    client.cancel_delivery("dlv_1", reason="жоқ", idempotency_key="order-742-cancel")
    client.send_test_webhook("https://shop.kz/k/", "delivery.created")
    sent = [head_and_body(raw) for raw in server.requests]
    assert [line for line, _headers, _body in sent] == [
        "POST /delivery/v1/deliveries HTTP/1.1",
        "GET /delivery/v1/deliveries/dlv_1?includeHistory=true HTTP/1.1",
        "POST /delivery/v1/deliveries/dlv_1/cancel HTTP/1.1",
        "POST /delivery/v1/webhooks/test HTTP/1.1",
    ]
    assert [headers["x-api-key"] for _line, headers, _body in sent] == [API_KEY] * 4
    _line, headers, body = sent[1]
    assert (body, {"Content-Type", "Content-Length", "Idempotency-Key"} & set(headers)) == (b"", set())
    assert len(server.lines) == 1


def test_the_headers_and_the_body_of_a_create(server, connect):
    """No other header goes along, and the body arrives byte for byte."""
    server.answer(http(201, BOOKED, headers=["X-Idempotent-Replay: true"]))
    delivery = create(connect(server))
    assert (delivery.delivery_id, delivery.status, delivery.replayed) == ("dlv_1", "created", True)
    _, headers, body = head_and_body(server.requests[0])
    assert body == json.dumps(request().to_json(), ensure_ascii=False, separators=(",", ":")).encode()
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


def test_answers_without_a_length(server, connect):
    """An answer in chunks is put together; one without a length ends where the connection does."""
    body = json.dumps(BOOKED).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:]))
    server.answer(
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n" % chunks,
        b"HTTP/1.0 201 Created\r\n\r\n" + body,
    )
    client = connect(server)
    assert [create(client).delivery_id for _ in range(2)] == ["dlv_1"] * 2


def assert_as_requests_prepares_it(client, asked):
    headers = {**client._headers, **asked.headers}
    theirs = requests.Request(asked.method, client.base_url + asked.path, headers=headers, data=asked.body).prepare()
    ours = client._prepared(asked)
    assert (ours.method, ours.url, ours.path_url) == (theirs.method, theirs.url, theirs.path_url)
    assert (ours.body, ours.headers) == (theirs.body, theirs.headers)


@pytest.mark.parametrize(
    "base_url",
    [
        PRODUCTION_URL,
        "https://kaspi.test",
        "HTTPS://KASPI.test:8443/A/",
        "https://kaspi.test/a/./b/../c",
        "https://kaspi.test/a%2fb%7e%zz[1]",
        "https://kaspi.test//a",
        "http://[::1]:8900",
    ],
)
def test_every_base_url(base_url):
    """The same address, headers and body as `requests` prepares, however the base URL is written."""
    for asked in OPERATIONS.values():
        assert_as_requests_prepares_it(KaspiClient(API_KEY, base_url=base_url), asked)


@given(IDENTIFIERS)
def test_every_delivery_id(delivery_id):
    """Whatever an id is made of, it is quoted once."""
    assert_as_requests_prepares_it(KaspiClient(API_KEY), protocol.get(delivery_id))


@pytest.mark.parametrize("key", ["", " ", "k\r\nHost: x", "k\n", " k", "k ", "ключ", "k" * 256, None])
@pytest.mark.failure_mode("request: ids and line breaks")
def test_keys_that_cannot_stand_in_a_header(key):
    """Such a key is refused at once, and not repeated."""
    with pytest.raises(UsageError, match=r"^the API key must be 1 to 255 printable ASCII char"):
        KaspiClient(key)


@pytest.mark.failure_mode("request: slow or endless answer")
def test_defaults():
    """Production; 5 s to connect, 10 s for a read, 15 s for everything. The address cannot be changed later."""
    assert (Timeouts().connect_s, Timeouts().read_s, Timeouts().total_s) == (5, 10, 15)
    client = KaspiClient(API_KEY)
    assert repr(client) == str(client) == "KaspiClient(base_url='https://api.kaspi.kz/delivery')"
    with pytest.raises(AttributeError):
        client.base_url = "https://sandbox.kaspi.kz/delivery"


def test_every_exchange_has_an_id_of_its_own(server, connect, ids):
    """The id that was sent, unless Kaspi's answer carries one that can be stored."""
    answers = [[], ["X-Request-Id: kaspi-7"], ["X-Request-Id: "], [f"X-Request-Id: {'x' * 200}"]]
    server.answer(*(http(201, BOOKED, headers=headers) for headers in answers))
    client = connect(server)
    assert [create(client).request_id for _ in answers] == ["exchange-1", "kaspi-7", "exchange-3", "exchange-4"]
    sent = [head_and_body(raw)[1]["X-Request-Id"] for raw in server.requests]
    assert sent == [f"exchange-{number}" for number in range(1, 5)]


def test_an_error_has_it_too(server, connect, ids):
    """With an answer, with half of one, and without a connection."""
    server.answer(http(422, headers=["X-Request-Id: kaspi-1"]), b"")
    client, lost = connect(server), connect(f"http://127.0.0.1:{free_port()}")
    found = []
    for each in (client, client, lost):
        with pytest.raises(KaspiError) as caught:
            create(each)
        found.append((type(caught.value), caught.value.request_id))
    assert found == [(Refused, "kaspi-1"), (OutcomeUnknown, "exchange-2"), (NotReached, "exchange-3")]


@pytest.mark.parametrize("status", [201, 503])
def test_what_kaspi_announces_is_read(server, connect, status):
    """Of a success and of an error."""
    server.answer(http(status, BOOKED, headers=ANNOUNCED))
    try:
        announced = create(connect(server)).announcement
    except KaspiError as err:
        announced = err.announcement
    assert announced == "; ".join(ANNOUNCED)


def test_an_undocumented_success_is_logged_once(server, connect, caplog):
    """A 200 for a create counts as a success, and is logged once in a process."""
    client_http._log_other_success.cache_clear()
    server.answer(*(http(status, BOOKED) for status in (200, 200, 201, 202)))
    client = connect(server)
    with caplog.at_level(logging.WARNING):
        assert {create(client).delivery_id for _ in range(4)} == {"dlv_1"}
    lines = [record.getMessage() for record in caplog.records if "undocumented" in record.getMessage()]
    assert lines == [f"undocumented success: operation=create status={status}" for status in (200, 202)]
