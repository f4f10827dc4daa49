"""Whatever is sent to the sandbox, it answers in JSON and does not drop the connection."""

import json

import pytest

from kaspi_delivery_django.sandbox import requests as sandbox_requests
from kaspi_delivery_django.sandbox import server as sandbox_server
from tests.sandbox import raw
from tests.sandbox.conftest import REQUEST

BODY = json.dumps(REQUEST).encode()
CREATE = "POST /v1/deliveries"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"5;name=value\r\n" + BODY[:5] + b"\r\n%X\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\nX-Trailer: 1\r\n\r\n"


@pytest.fixture
def ask(server, kaspi):
    """Send a request with the right key, and return its answer."""

    def run(line, headers=(), body=b"", **options):
        return raw.send(server.url, raw.request(line, [f"x-api-key: {kaspi.api_key}", *headers], body, **options))

    return run


BODIES = {
    "a lone surrogate": BODY.replace(b"order-742", b"\\ud800"),
    "bytes that are not UTF-8": BODY.replace(b"order-742", b"\xff\xfe"),
    "depth 100,000": b'{"a":' * 100_000,
    "a number of 5,000 digits": BODY[:-1] + b', "x": ' + b"9" * 5000 + b"}",
    "NaN": BODY.replace(b"1200", b"NaN"),
    "a number out of range": BODY.replace(b"1200", b"1e999"),
    "another encoding": BODY.decode().encode("utf-16"),
    "a lone surrogate in a key, deep inside": BODY[:-1] + b', "x": [[{"a": {"\\udfff": 1}}]]}',
    "nothing": b"",
    "a list": b"[]",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_cannot_be_read(ask, kaspi, name):
    """400 with a JSON body, and nothing is booked; a cancel may have no body at all."""
    delivery_id = ask(CREATE, body=BODY).document["deliveryId"]
    for line in (CREATE, "POST /v1/webhooks/test", "POST /_sandbox/faults"):
        answer = ask(line, body=BODIES[name])
        assert (answer.status, answer.document["code"]) == (400, "validation_failed")
    answer = ask(f"POST /v1/deliveries/{delivery_id}/cancel", body=BODIES[name])
    assert answer.status == (200 if name == "nothing" else 400)
    assert len(kaspi.deliveries) == 1


@pytest.mark.parametrize("text", ["9" * 4000, "1e308", "-1"])
def test_what_was_accepted_can_be_shown(ask, text):
    """An odd number that the API's description allows comes back as valid JSON."""
    created = ask(CREATE, body=BODY.replace(b"1200", text.encode()))
    shown = ask(f"GET /v1/deliveries/{created.document['deliveryId']}").document
    assert shown["parcel"]["weightGrams"] == int(float(text) if "e" in text else text)


LENGTHS = ["-1", "+5", "5_0", "1e2", "abc", "", "9" * 30, "\xb2", "5, 5", str(len(BODY) + 1)]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_is_wrong(ask, length):
    """400, and the connection ends: where the next request begins is not known."""
    answer = ask(CREATE, [f"Content-Length: {length}"], BODY, length=False)
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert "Content-Length" in answer.document["message"]


def test_two_lengths_that_differ(ask, kaspi):
    """Two different lengths are 400: a proxy in between could read another request than the sandbox."""
    assert ask(CREATE, ["Content-Length: 3"], BODY).status == 400
    assert ask(CREATE, [f"Content-Length: {len(BODY)}"], BODY).status == 201


def test_a_body_that_does_not_arrive(server, monkeypatch):
    """408 instead of a thread that waits without end."""
    monkeypatch.setattr(sandbox_server, "BODY_WITHIN_S", 0.05)
    data = raw.request(CREATE, ["Content-Length: 5"], length=False)
    assert raw.send(server.url, data, ends=False).document["code"] == "request_timeout"


def test_a_body_that_is_too_large(ask, monkeypatch):
    """413 reaches a client that is still sending."""
    monkeypatch.setattr(sandbox_requests, "MAX_BODY", 1024)
    for headers, body in (([], b" " * 300_000), ([CHUNKED], b"493E0\r\n" + b" " * 300_000)):
        answer = ask(CREATE, headers, body, length=not headers)
        assert (answer.status, answer.document["code"]) == (413, "too_large")


def test_a_body_in_chunks(ask):
    """Chunks are one body, with extensions and trailers left out."""
    assert ask(CREATE, [CHUNKED], CHUNKS, length=False).status == 201


@pytest.mark.parametrize("body", [b"zz\r\n", b"ff\r\nabc", b"3\r\nabcdef\r\n0\r\n\r\n", b"", b"-1\r\n\r\n"])
def test_chunks_that_cannot_be_read(ask, body):
    """400, and the connection ends."""
    answer = ask(CREATE, [CHUNKED], body, length=False)
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert answer.document["code"] == "bad_request"


@pytest.mark.parametrize("headers", [[CHUNKED, "Content-Length: 5"], ["Transfer-Encoding: gzip"], [CHUNKED, CHUNKED]])
def test_transfer_encodings_that_are_not_clear(ask, headers):
    """400 for all but plain chunks."""
    assert ask(CREATE, headers, CHUNKS, length=False).document["code"] == "bad_request"


HEADS = {
    "no request": (b"\x16\x03\x01\x02garbage\r\n\r\n", 400),
    "five words": (b"A B C D E\r\n\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n\r\n", 505),
    "a method that is no word": ("GÉT / HTTP/1.1\r\n\r\n".encode("latin-1"), 400),
    "an escape sequence": (b"\x1b[31m / HTTP/1.1\r\n\r\n", 400),
    "a long line": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
    "a long header": (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "too many headers": (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n", 431),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_cannot_be_read(server, name):
    """What http.server itself refuses is answered in JSON."""
    data, status = HEADS[name]
    answer = raw.send(server.url, data)
    assert (answer.status, answer.document["code"]) == (status, "bad_request")


def test_http_1_0(server, kaspi):
    """An old client is answered, and its connection ends."""
    data = raw.request(CREATE, [f"x-api-key: {kaspi.api_key}"], BODY).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    assert raw.send(server.url, data).status == 201


def test_targets_that_are_no_path(ask):
    """404, whatever the request line names."""
    for target in ("[", "//[", "*", "x:1", "http://[", "/v1/deliveries/%ED%A0%80", "/v1/deliveries/\xff"):
        assert ask(f"GET {target}").status == 404


def test_a_key_that_is_not_ascii(ask):
    """An idempotency key is compared byte by byte, and echoed nowhere."""
    answers = [ask(CREATE, ["Idempotency-Key: \xe9\xff"], BODY) for _ in range(2)]
    assert [answer.headers.get("x-idempotent-replay") for answer in answers] == [None, "true"]
