"""Whom the client talks to, and over which connections."""

import json
import socket

import pytest

from kaspi_delivery_django.client import ConfigurationFault, OutcomeUnknown, RateLimited, Timeouts
from kaspi_delivery_django.client.http import MAX_BODY_BYTES
from tests.client.conftest import API_KEY, BOOKED, http, request


def create(client):
    return client.create_delivery(request(), idempotency_key="order-742")


def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def truncated(line):
    line.request()
    line.send(http(201, BOOKED)[:-1])


def padded(length):
    return json.dumps(BOOKED).encode().ljust(length)


REDIRECTS = [
    "https://example.com/",
    "/elsewhere",
    "//example.com",
    "http://[::1",
    "http://a:port/",
    "\xff\xfe",
    "",
]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", REDIRECTS)
@pytest.mark.failure_mode("request: redirect")
def test_redirects(server, connect, status, location):
    """A redirect is a fault of the configuration; it is not followed, nor its address read."""
    server.answer(http(status, {}, headers=[f"Location: {location}"]), http(201, BOOKED))
    with pytest.raises(ConfigurationFault) as caught:
        create(connect(server))
    assert (caught.value.status, len(server.requests)) == (status, 1)


def test_the_body_of_a_redirect(server, connect):
    """A redirect's body is read no further than any other."""
    body = padded(MAX_BODY_BYTES + 1)
    server.answer(http(302, headers=["Location: /x"], body=body))
    with pytest.raises(OutcomeUnknown, match="larger than 1 MiB"):
        create(connect(server, timeouts=Timeouts()))


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.failure_mode("request: proxy or .netrc")
def test_proxy_variables(server, connect, monkeypatch, name):
    """A proxy variable does not change who we talk to."""
    monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.answer(http(201, BOOKED))
    assert create(connect(server)).delivery_id == "dlv_1"


@pytest.mark.failure_mode("request: proxy or .netrc")
def test_netrc(server, connect, monkeypatch, tmp_path):
    """A .netrc adds no password."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.answer(http(201, BOOKED))
    create(connect(server))
    assert b"authorization" not in server.requests[0].lower()


def test_a_connection_is_kept(server, connect):
    """Calls after each other share a connection, each with the key."""
    server.answer(*[http(200, BOOKED)] * 3)
    client = connect(server)
    for _ in range(3):
        client.get_delivery("dlv_1")
    assert len(server.lines) == 1
    assert [f"x-api-key: {API_KEY}".encode() in raw for raw in server.requests] == [True] * 3


def test_a_connection_is_kept_after_an_error(server, connect):
    """An error that was read to its end does not cost the connection."""
    server.answer(http(429), http(200, BOOKED))
    client = connect(server)
    with pytest.raises(RateLimited):
        create(client)
    assert client.get_delivery("dlv_1").delivery_id == "dlv_1"
    assert len(server.lines) == 1


def test_a_stale_connection(server, connect):
    """A kept connection that the server has closed between two calls is opened anew."""
    server.answer(http(200, BOOKED))
    client = connect(server)
    client.get_delivery("dlv_1")
    server.wait()
    server.answer(http(201, BOOKED))
    assert create(client).delivery_id == "dlv_1"
    assert len(server.lines) == 2


def test_a_kept_connection_that_breaks(server, connect):
    """One that breaks under a create leaves the outcome open, and the create is not sent twice."""

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


def test_a_broken_connection_is_not_used_again(server, connect):
    """After a truncated answer the next call starts on a fresh connection."""
    server.script = truncated
    client = connect(server)
    with pytest.raises(OutcomeUnknown):
        create(client)
    server.answer(http(200, BOOKED))
    assert client.get_delivery("dlv_1").delivery_id == "dlv_1"


def test_closing(server, connect):
    """A closed client has given its connections back."""
    server.answer(http(200, BOOKED), http(200, BOOKED))
    client = connect(server)
    client.get_delivery("dlv_1")
    client.close()
    server.wait()
    assert len(server.requests) == 1
