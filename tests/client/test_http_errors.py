"""What the client makes of calls that fail, before and after a byte has left, and of its connections."""

import pytest

from kaspi_delivery_django.client import (
    ConfigurationFault,
    KaspiError,
    NotReached,
    OutcomeUnknown,
    ServerFault,
    Timeouts,
    protocol,
)
from kaspi_delivery_django.client.http import MAX_BODY_BYTES
from kaspi_delivery_django.client.transport import MAX_ANSWER_BYTES
from tests.client.conftest import API_KEY, BOOKED, CERTIFICATE, PERSONAL, create, http, padded, request
from tests.http_server import free_port

NOT_WHOLE = "no whole answer from Kaspi"
CHUNKED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.failure_mode("create: no connection")
@pytest.mark.parametrize("host", ["http://127.0.0.1:{port}", "https://nonexistent.invalid/delivery"])
def test_no_connection(connect, host):
    """No server listens, or DNS knows no such name: no byte has left."""
    with pytest.raises(NotReached) as caught:
        create(connect(host.format(port=free_port())))
    assert (caught.value.outcome_known, caught.value.status) == (True, None)


def test_tls_with_a_server_that_speaks_none(server, connect):
    """The handshake fails: no byte of the request has left."""
    server.script = lambda line: line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(NotReached):
        create(connect(server.url.replace("http:", "https:")))


@pytest.mark.failure_mode("request: certificate")
def test_a_certificate_that_is_not_trusted(tls_server, connect, monkeypatch):
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
    """With a certificate that is trusted, the calls go through, over one connection."""
    tls_server.answer(http(201, BOOKED), http(200, BOOKED))
    client = connect(tls_server)
    client._session.verify = str(CERTIFICATE)
    assert create(client).delivery_id == client.get_delivery("dlv_1").delivery_id == "dlv_1"
    assert len(tls_server.lines) == 1


def after_request(*parts):
    """Return a script that reads a request, sends these bytes, and hangs up."""

    def script(line):
        line.request()
        for part in parts:
            line.send(part)

    return script


BROKEN = {
    "closed at once": lambda line: line.close(),
    "closed before answering": after_request(),
    "truncated": after_request(http(201, BOOKED)[:-1]),
    "truncated chunks": after_request(CHUNKED + b"400\r\n{"),
    "bad chunks": after_request(CHUNKED + b"xyz\r\n{}\r\n0\r\n\r\n"),
    "negative chunk": after_request(CHUNKED + b"-5\r\n{}"),
    "half a line": after_request(b"HTTP/1.1 2"),
    "no HTTP": after_request(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    "two lengths": after_request(http(201, BOOKED, headers=["Content-Length: 7"])),
    "many headers": after_request(http(201, BOOKED, headers=[f"X-{number}: x" for number in range(200)])),
}


@pytest.mark.parametrize("name", BROKEN)
def test_no_whole_answer(server, connect, name):
    """Once a byte may have left, whatever breaks the answer leaves the outcome open; not even a get is sent again."""
    server.script = BROKEN[name]
    client = connect(server)
    for call in (create, lambda client: client.get_delivery("dlv_1")):
        with pytest.raises(OutcomeUnknown, match=NOT_WHOLE) as caught:
            call(client)
        assert (caught.value.outcome_known, caught.value.status) == (False, None)
    server.wait()
    assert len(server.requests) == (0 if name == "closed at once" else 2)


ENDLESS = {
    "chunk": (CHUNKED + b"-1\r\n", b"x" * 65536, NOT_WHOLE),  # `http.client` takes -1 bytes for all that ever comes
    "trailers": (CHUNKED + b"0\r\n", b"X-Padding: x\r\n" * 4096, NOT_WHOLE),
    "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4096, NOT_WHOLE),
    "body": (CHUNKED, b"10000\r\n" + b" " * 0x10000 + b"\r\n", "larger than 1 MiB"),
}


@pytest.mark.parametrize("part", ENDLESS)
@pytest.mark.failure_mode("request: slow or endless answer")
def test_an_answer_without_end(server, connect, part):
    """Whatever part of an answer has no end, little more than 8 MiB of it is read, and of a body 1 MiB."""
    beginning, repeated, message = ENDLESS[part]
    sent = []

    def script(line):
        line.request()
        line.send(beginning)
        while sum(sent) < 16 * MAX_ANSWER_BYTES and line.send(repeated):
            sent.append(len(repeated))

    server.script = script
    with pytest.raises(OutcomeUnknown, match=message):
        create(connect(server, timeouts=Timeouts(total_s=60)))
    server.wait()
    assert sum(sent) < 4 * MAX_ANSWER_BYTES


@pytest.mark.failure_mode("request: slow or endless answer")
def test_a_body_over_one_mebibyte(server, connect):
    """1 MiB is still read; one byte more leaves the outcome open, of a redirect too."""
    server.answer(http(201, body=padded(MAX_BODY_BYTES)))
    client = connect(server, timeouts=Timeouts())
    assert create(client).delivery_id == "dlv_1"
    for status in (201, 302):
        server.wait()
        server.answer(http(status, headers=["Location: /x"], body=padded(MAX_BODY_BYTES + 1)))
        with pytest.raises(OutcomeUnknown, match=rf"larger than 1 MiB \(status={status}\)"):
            create(client)


@pytest.mark.parametrize("status", [100, 101, 103, 199])
def test_an_interim_answer(server, connect, status):
    """A 1xx is no answer: the outcome is open, and the true answer never reaches the next call."""
    server.answer(b"HTTP/1.1 %d Wait\r\n\r\n" % status, http(200, BOOKED))
    client = connect(server)
    with pytest.raises(OutcomeUnknown):
        client.send(protocol.create(request(), "order-742"), total_s=0.3)
    server.wait()
    server.answer(http(200, {**BOOKED, "deliveryId": "dlv_2"}))
    assert client.get_delivery("dlv_2").delivery_id == "dlv_2"


@pytest.mark.parametrize(
    "script",
    [
        BROKEN["closed at once"],
        BROKEN["truncated"],
        after_request(http(400, {"message": " ".join(PERSONAL)})),
        after_request(http(401, {"message": API_KEY})),
        after_request(http(201, {"x": [*PERSONAL, API_KEY]})),
        after_request(http(201, body=API_KEY.encode())),
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


LOCATIONS = ["https://example.com/", "/elsewhere", "//example.com", "http://[::1", "http://a:port/", "\xff\xfe", ""]


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.failure_mode("request: redirect")
def test_redirects(server, connect, location):
    """A redirect is a fault of the configuration; it is not followed, nor its address read."""
    statuses = [301, 302, 303, 307, 308]
    server.answer(*(http(status, {}, headers=[f"Location: {location}"]) for status in statuses))
    client = connect(server)
    for status in statuses:
        with pytest.raises(ConfigurationFault) as caught:
            create(client)
        assert caught.value.status == status
    assert len(server.requests) == len(statuses)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.failure_mode("request: proxy or .netrc")
def test_the_environment_changes_nothing(server, connect, monkeypatch, tmp_path, name):
    """A proxy variable does not change the address, a .netrc adds no password."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.answer(http(201, BOOKED))
    assert create(connect(server)).delivery_id == "dlv_1"
    assert b"authorization" not in server.requests[0].lower()


def test_a_connection_is_kept_after_an_error(server, connect):
    """An error is not repeated, and costs no connection if it was read to its end; closing the client ends it."""
    server.answer(http(503), *[http(200, BOOKED)] * 2)
    client = connect(server)
    with pytest.raises(ServerFault):
        create(client)
    assert client.get_delivery("dlv_1").delivery_id == "dlv_1"
    assert len(server.lines) == 1
    client.close()
    server.wait()
    assert len(server.requests) == 2


def test_a_stale_connection(server, connect):
    """A kept connection that the server has closed between two calls is opened again."""
    server.answer(http(200, BOOKED))
    client = connect(server)
    client.get_delivery("dlv_1")
    server.wait()
    server.answer(http(201, BOOKED))
    assert create(client).delivery_id == "dlv_1"
    assert len(server.lines) == 2


def test_a_kept_connection_that_breaks(server, connect):
    """One that breaks under a create leaves the outcome open; the create is not sent twice, nor the connection used."""

    def script(line):
        line.request()
        line.send(http(200, BOOKED))
        line.request()

    server.script = script
    client = connect(server)
    client.get_delivery("dlv_1")
    with pytest.raises(OutcomeUnknown):
        create(client)
    assert len(server.requests) == 2
    server.answer(http(200, BOOKED))
    assert client.get_delivery("dlv_1").delivery_id == "dlv_1"
