"""The deadline and the question whether a byte has left, over real sockets."""

import time
from unittest.mock import Mock

import pytest
import requests
from requests.adapters import HTTPAdapter

from kaspi_delivery_django.client import NotReached, OutcomeUnknown, Parcel, Timeouts, protocol, transport
from kaspi_delivery_django.client.transport import DeadlineAdapter
from tests.client.conftest import BOOKED, CERTIFICATE, create, http
from tests.client.conftest import request as a_request
from tests.conftest import PATIENCE_S


def trickling_head(line):
    line.request()
    line.trickle(http(201, BOOKED, headers=["X-Padding: " + "x" * 100]))


def trickling_body(line):
    line.request()
    line.send(b"HTTP/1.1 201 Created\r\nContent-Length: 200\r\n\r\n")
    line.trickle(b" " * 200)


def trickling_chunks(line):
    line.request()
    line.send(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n")
    line.trickle(b"1\r\n \r\n" * 40)


def silent(line):
    line.request()
    line.hold()


def silent_within_a_body(line):
    line.request()
    line.send(http(201, BOOKED)[:-5])
    line.hold()


@pytest.mark.parametrize("script", [trickling_head, trickling_body, trickling_chunks, silent])
@pytest.mark.parametrize("kind", ["server", "tls_server"])
def test_the_total_deadline(request, connect, script, kind):
    """A server that trickles, each byte well within the read timeout, is abandoned in time; the same under TLS."""
    server = request.getfixturevalue(kind)
    server.script = script
    client = connect(server, timeouts=Timeouts(total_s=1))
    client._session.verify = str(CERTIFICATE)
    with pytest.raises(OutcomeUnknown, match="no whole answer"):
        create(client)
    assert transport.current.get() is None


def test_the_deadline_of_one_call(server, connect):
    """A call may be given a shorter deadline than its client has."""
    server.script = silent
    client = connect(server, timeouts=Timeouts(read_s=60, total_s=60))
    with pytest.raises(OutcomeUnknown, match="Timeout"):
        client.exchange(protocol.get("dlv_1"), total_s=0.1)


@pytest.mark.parametrize("script", [silent, silent_within_a_body])
def test_the_read_timeout(server, connect, script):
    """A silence longer than the read timeout ends the call before the deadline does, at every read."""
    server.script = script
    with pytest.raises(OutcomeUnknown):
        create(connect(server, timeouts=Timeouts(read_s=0.1, total_s=60)))


def test_nothing_is_sent_past_the_deadline(server, connect, monkeypatch):
    """When connecting (a slow DNS) has taken longer than the deadline, no byte leaves."""
    connect_really = transport._Connection.connect

    def connect_slowly(self):
        connect_really(self)
        transport.current.get().deadline = time.monotonic() - 1

    monkeypatch.setattr(transport._Connection, "connect", connect_slowly)
    server.answer(http(201, BOOKED))
    with pytest.raises(NotReached):
        create(connect(server))
    server.stop()
    assert server.requests == []


def test_sending_is_within_the_deadline(server, connect):
    """A server that reads no bytes is abandoned in time; some may have left."""
    server.script = lambda line: line.hold()
    huge = Parcel(description="x" * 20_000_000, weight_grams=1, value_kzt=0)
    asked = protocol.create(a_request(parcel=huge), "order-742")
    with pytest.raises(OutcomeUnknown):
        connect(server, timeouts=Timeouts(total_s=1)).send(asked)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.ConnectTimeout(), NotReached),
        (requests.ReadTimeout(), OutcomeUnknown),
        (requests.ConnectionError(), OutcomeUnknown),
        (requests.exceptions.SSLError(), OutcomeUnknown),
        (OSError(), OutcomeUnknown),
        (ZeroDivisionError(), ZeroDivisionError),
    ],
)
def test_errors_of_another_transport(connect, error, kind):
    """A transport that does not count bytes is taken to have sent some; what is no network error stays what it is."""
    failing = HTTPAdapter()
    failing.send = Mock(side_effect=error)
    with pytest.raises(kind):
        create(connect("https://kaspi.test", transport=failing))


def test_the_adapter_on_a_session_of_its_own(server):
    """Outside of an exchange the adapter is an ordinary one."""
    server.answer(http(200, BOOKED))
    with requests.Session() as session:
        session.mount("http://", DeadlineAdapter())
        assert session.get(server.url, timeout=PATIENCE_S).json() == BOOKED
