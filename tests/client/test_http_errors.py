"""What the client makes of calls that fail, before and after a byte has left."""

import json
import socket

import pytest

from kaspi_delivery_django.client import KaspiError, NotReached, OutcomeUnknown, Timeouts, protocol
from kaspi_delivery_django.client.http import MAX_BODY_BYTES
from kaspi_delivery_django.client.transport import MAX_ANSWER_BYTES
from tests.client.conftest import API_KEY, BOOKED, CERTIFICATE, PERSONAL, http, request


def create(client):
    return client.create_delivery(request(), idempotency_key="order-742")


def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.failure_mode("create: nobody is connected")
def test_a_refused_connection(connect):
    """Nobody listens: no byte has left."""
    with pytest.raises(NotReached) as caught:
        create(connect(f"http://127.0.0.1:{unused_port()}"))
    assert (caught.value.outcome_known, caught.value.status) == (True, None)


@pytest.mark.failure_mode("create: nobody is connected")
def test_an_unknown_host(connect):
    """DNS knows no such name: no byte has left."""
    with pytest.raises(NotReached):
        create(connect("https://nonexistent.invalid/delivery"))


def test_tls_with_a_server_that_speaks_none(server, connect):
    """The handshake fails: no byte of the request has left."""
    server.script = lambda line: line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(NotReached):
        create(connect(server.url.replace("http:", "https:")))


@pytest.mark.failure_mode("request: certificate")
def test_a_certificate_that_nobody_trusts(tls_server, connect, monkeypatch):
    """TLS is verified, whatever the environment trusts."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(CERTIFICATE))
    with pytest.raises(NotReached):
        create(connect(tls_server))
    assert tls_server.requests == []


def test_a_certificate_for_another_name(tls_server, connect):
    """The certificate must be the host's own."""
    client = connect(tls_server.url.replace("localhost", "127.0.0.1"))
    client._session.verify = str(CERTIFICATE)
    with pytest.raises(NotReached):
        create(client)


def test_tls(tls_server, connect):
    """With a certificate that is trusted, the call goes through."""
    tls_server.answer(http(201, BOOKED), http(200, BOOKED))
    client = connect(tls_server)
    client._session.verify = str(CERTIFICATE)
    assert create(client).delivery_id == client.get_delivery("dlv_1").delivery_id == "dlv_1"
    assert len(tls_server.lines) == 1


def closed_at_once(line):
    line.close()


def closed_before_answering(line):
    line.request()


def truncated(line):
    line.request()
    line.send(http(201, BOOKED)[:-1])


def truncated_chunks(line):
    line.request()
    line.send(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n{")


def bad_chunks(line):
    line.request()
    line.send(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n")


def negative_chunk(line):
    line.request()
    line.send(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}")


def half_a_line(line):
    line.request()
    line.send(b"HTTP/1.1 2")


def no_http(line):
    line.request()
    line.send(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


def bad_gzip(line):
    line.request()
    line.send(http(201, body=b"no gzip", headers=["Content-Encoding: gzip"]))


def two_lengths(line):
    line.request()
    line.send(http(201, BOOKED, headers=["Content-Length: 7"]))


def many_headers(line):
    line.request()
    line.send(http(201, BOOKED, headers=[f"X-{number}: x" for number in range(200)]))


@pytest.mark.parametrize(
    "script",
    [
        closed_at_once,
        closed_before_answering,
        truncated,
        truncated_chunks,
        bad_chunks,
        negative_chunk,
        half_a_line,
        no_http,
        bad_gzip,
        two_lengths,
        many_headers,
    ],
)
def test_no_whole_answer(server, connect, script):
    """Once a byte may have left, whatever breaks the answer leaves the outcome open."""
    server.script = script
    with pytest.raises(OutcomeUnknown, match="no whole answer from Kaspi") as caught:
        create(connect(server))
    assert (caught.value.outcome_known, caught.value.status) == (False, None)


def endless_chunk(line):
    """Send a chunk of -1 bytes, which `http.client` takes for all that ever comes."""
    line.request()
    line.send(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")
    _send_on(line, b"x" * 65536)


def endless_trailers(line):
    line.request()
    line.send(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    _send_on(line, b"X-Padding: x\r\n" * 4096)


def endless_interim(line):
    line.request()
    _send_on(line, b"HTTP/1.1 100 Continue\r\n\r\n" * 4096)


def _send_on(line, content):
    line.sent = 0
    while line.sent < 16 * MAX_ANSWER_BYTES and line.send(content):
        line.sent += len(content)


@pytest.mark.parametrize("script", [endless_chunk, endless_trailers, endless_interim])
@pytest.mark.failure_mode("request: slow or endless answer")
def test_an_answer_without_end(server, connect, script):
    """Whatever part of an answer has no end, little more than 8 MiB of it is taken."""
    lines = []
    server.script = lambda line: lines.append(line) or script(line)
    with pytest.raises(OutcomeUnknown, match="no whole answer from Kaspi"):
        create(connect(server, timeouts=Timeouts(total_s=60)))
    server.wait()
    assert lines[0].sent < 4 * MAX_ANSWER_BYTES


@pytest.mark.parametrize("call", [create, lambda client: client.get_delivery("dlv_1")])
def test_a_broken_call_is_not_repeated(server, connect, call):
    """A call whose connection breaks, even a harmless get, is sent once."""
    server.script = closed_before_answering
    with pytest.raises(OutcomeUnknown):
        call(connect(server))
    server.wait()
    assert len(server.requests) == 1


def padded(length):
    return json.dumps(BOOKED).encode().ljust(length)


def test_a_body_of_one_mebibyte(server, connect):
    """1 MiB is still read."""
    server.answer(http(201, body=padded(MAX_BODY_BYTES)))
    assert create(connect(server, timeouts=Timeouts())).delivery_id == "dlv_1"


@pytest.mark.failure_mode("request: slow or endless answer")
def test_a_body_over_one_mebibyte(server, connect):
    """One byte more leaves the outcome open, and the connection is not used again."""
    server.answer(http(201, body=padded(MAX_BODY_BYTES + 1)))
    with pytest.raises(OutcomeUnknown, match=r"larger than 1 MiB \(status=201\)"):
        create(connect(server, timeouts=Timeouts()))


def endless(line):
    line.request()
    line.send(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n")
    while line.send(b"10000\r\n" + b"x" * 65536 + b"\r\n"):
        pass


def test_a_body_without_end(server, connect):
    """A body that never ends is read no further than 1 MiB."""
    server.script = endless
    with pytest.raises(OutcomeUnknown, match="larger than 1 MiB"):
        create(connect(server, timeouts=Timeouts()))


@pytest.mark.parametrize("status", [100, 101, 102, 103, 199])
def test_an_interim_answer(server, connect, status):
    """A 1xx is no answer: the outcome is open, and the true answer never reaches the next call."""
    interim = b"HTTP/1.1 %d Wait\r\n\r\n" % status
    server.answer(interim, http(200, BOOKED))
    client = connect(server)
    with pytest.raises(OutcomeUnknown):
        client.send(protocol.create(request(), "order-742"), total_s=0.3)
    server.wait()
    server.answer(http(200, {**BOOKED, "deliveryId": "dlv_2"}))
    assert client.get_delivery("dlv_2").delivery_id == "dlv_2"


@pytest.mark.parametrize(
    "script",
    [
        closed_at_once,
        truncated,
        lambda line: line.request() and line.send(http(400, {"message": " ".join(PERSONAL)})),
        lambda line: line.request() and line.send(http(401, {"message": API_KEY})),
        lambda line: line.request() and line.send(http(201, {"x": [*PERSONAL, API_KEY]})),
        lambda line: line.request() and line.send(http(201, body=API_KEY.encode())),
    ],
    ids=["closed", "truncated", "400", "401", "unusable", "undecodable"],
)
def test_no_secret_in_any_error(server, connect, script):
    """Neither an error nor what caused it shows the key or personal data."""
    server.script = script
    with pytest.raises(KaspiError) as caught:
        create(connect(server))
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    shown = " ".join(f"{error} {error!r}" for error in chain)
    assert not any(secret in shown for secret in (API_KEY, *PERSONAL))
