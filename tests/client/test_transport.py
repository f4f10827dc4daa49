"""The deadline and the question whether a byte has left, over real sockets."""

import time

import pytest
import requests
from requests.adapters import BaseAdapter

from kaspi_delivery_django.client import NotReached, OutcomeUnknown, Parcel, Timeouts, protocol, transport
from kaspi_delivery_django.client.transport import DeadlineAdapter, Exchange
from tests.client.conftest import BOOKED, CERTIFICATE, http, request


class Failing(BaseAdapter):
    """A transport that never answers."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def send(self, *args, **kwargs):
        raise self.error

    def close(self):
        pass


CREATE = protocol.create(request(), "order-742")
HUGE_PARCEL = Parcel(description="x" * 20_000_000, weight_grams=1, value_kzt=0)
HUGE_CREATE = protocol.create(request(parcel=HUGE_PARCEL), "order-742")


def create(client):
    return client.send(CREATE)


def test_an_exchange_counts_down():
    """What is left of the deadline is at most what there was."""
    assert 0 < Exchange(5.0).seconds_left() <= 5.0


def test_an_exchange_ends():
    """Past the deadline there is nothing left, not even zero."""
    with pytest.raises(TimeoutError, match="total deadline"):
        Exchange(0.0).seconds_left()


def trickling_head(line):
    line.request()
    line.trickle(http(201, BOOKED, headers=["X-Padding: " + "x" * 100]))


def trickling_body(line):
    line.request()
    head, _, body = http(201, BOOKED, headers=["X-Padding: x"]).partition(b"\r\n\r\n")
    line.send(head + b"\r\n\r\n")
    line.trickle(body.ljust(200))


def trickling_chunks(line):
    line.request()
    line.send(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n")
    line.trickle(b"1\r\n \r\n" * 40)


def silent(line):
    line.request()
    line.hold()


SLOW = [trickling_head, trickling_body, trickling_chunks, silent]


@pytest.mark.parametrize("script", SLOW)
def test_the_total_deadline(server, connect, script):
    """A server that trickles, each byte well within the read timeout, is given up in time."""
    server.script = script
    with pytest.raises(OutcomeUnknown, match="no whole answer"):
        create(connect(server, timeouts=Timeouts(total_s=0.3)))


@pytest.mark.parametrize("script", SLOW)
def test_the_total_deadline_over_tls(tls_server, connect, script):
    """The same holds under TLS."""
    tls_server.script = script
    client = connect(tls_server, timeouts=Timeouts(total_s=0.3))
    client._session.verify = str(CERTIFICATE)
    with pytest.raises(OutcomeUnknown, match="no whole answer"):
        create(client)


def test_the_deadline_of_one_call(server, connect):
    """A call may be given a shorter deadline than its client has."""
    server.script = silent
    client = connect(server, timeouts=Timeouts(total_s=60))
    with pytest.raises(OutcomeUnknown):
        client.exchange(CREATE, total_s=0.1)


def test_the_read_timeout(server, connect):
    """A silence longer than the read timeout ends the call before the deadline does."""
    server.script = silent
    with pytest.raises(OutcomeUnknown):
        create(connect(server, timeouts=Timeouts(read_s=0.1, total_s=60)))


def test_the_read_timeout_within_a_body(server, connect):
    """It holds for every later read as well."""

    def script(line):
        line.request()
        line.send(http(201, BOOKED)[:-5])
        line.hold()

    server.script = script
    with pytest.raises(OutcomeUnknown):
        create(connect(server, timeouts=Timeouts(read_s=0.1, total_s=60)))


def test_nothing_is_sent_past_the_deadline(server, connect, monkeypatch):
    """When connecting (a slow DNS) has eaten the deadline, no byte leaves any more."""
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
    """A server that takes no bytes is given up in time; some may have left."""
    server.script = lambda line: line.hold()
    with pytest.raises(OutcomeUnknown):
        connect(server, timeouts=Timeouts(total_s=0.3)).send(HUGE_CREATE)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.ConnectTimeout(), NotReached),
        (requests.ReadTimeout(), OutcomeUnknown),
        (requests.ConnectionError(), OutcomeUnknown),
        (requests.exceptions.SSLError(), OutcomeUnknown),
        (OSError(), OutcomeUnknown),
    ],
)
def test_errors_of_another_transport(connect, error, kind):
    """A transport that does not count bytes is taken to have sent some, unless it says not."""
    with pytest.raises(kind):
        create(connect("https://kaspi.test", transport=Failing(error)))


def test_a_programming_error_is_not_hidden(connect):
    """What is no network error stays what it is."""
    with pytest.raises(ZeroDivisionError):
        create(connect("https://kaspi.test", transport=Failing(ZeroDivisionError())))


def test_the_adapter_on_a_session_of_its_own(server):
    """Outside of an exchange the adapter is an ordinary one."""
    server.answer(http(200, BOOKED))
    with requests.Session() as session:
        session.mount("http://", DeadlineAdapter())
        assert session.get(server.url, timeout=5).json() == BOOKED


def test_no_exchange_is_left_behind(server, connect):
    """The deadline of a call is gone with it, also when the call failed."""
    server.answer(http(500))
    with pytest.raises(OutcomeUnknown):
        create(connect(server))
    assert transport.current.get() is None
