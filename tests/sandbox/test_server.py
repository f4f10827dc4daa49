import queue
import socket

import pytest
import requests

from kaspi_delivery_django.sandbox import defaults
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.server import Courier, SandboxServer, is_local
from kaspi_delivery_django.sandbox.webhooks import sign
from tests.conftest import PATIENCE_S
from tests.http_server import answering
from tests.sandbox.conftest import REQUEST


@pytest.fixture
def session(kaspi):
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update({"x-api-key": kaspi.api_key, "Idempotency-Key": "order-742"})
        yield session


@pytest.fixture
def control(session, server):
    """Send a request to the control endpoints."""

    def run(method, path, **options):
        return session.request(method, f"{server.url}/_sandbox/{path}", timeout=PATIENCE_S, **options)

    return run


def create(session, server, **options):
    return session.post(f"{server.url}/v1/deliveries", json=REQUEST, timeout=PATIENCE_S, **options)


@pytest.fixture
def shop():
    """A shop's webhook receiver: its address, and a queue of the headers and bodies that it got."""
    got = queue.Queue()

    def answer(_path, headers, body):
        got.put((headers, body))
        return 204, {}, b""

    with answering(answer) as port:
        yield f"http://127.0.0.1:{port}/kaspi/webhook/", got


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X-OTHER"])
def test_a_wrong_method(session, server, method):
    """Any other verb on a known path is 405 in JSON, HEAD without a body; the connection is kept."""
    answer = session.request(method, f"{server.url}/v1/deliveries")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert session.head(f"{server.url}/v1/deliveries").status_code == 405
    assert create(session, server).status_code == 201
    [connection] = server._server.connections
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_can_have_no_body(session, server, kaspi, status):
    """A fault of 204 or 304 leaves nothing behind that the next answer begins with."""
    kaspi.faults.add(Fault(status=status))
    assert [create(session, server).status_code for _ in range(2)] == [status, 201]


@pytest.mark.parametrize(
    ("fault", "error", "booked"),
    [
        (Fault(drop="before"), requests.ConnectionError, 0),
        (Fault(drop="after"), requests.ConnectionError, 1),
        (Fault(truncate=True), requests.exceptions.ChunkedEncodingError, 1),
        (Fault(latency_s=30), requests.ReadTimeout, 1),
    ],
)
def test_network_faults(session, server, kaspi, fault, error, booked):
    """A drop is a connection error, a truncated body ends under its Content-Length, latency makes the read time out."""
    kaspi.faults.add(fault)
    with pytest.raises(error):
        session.post(f"{server.url}/v1/deliveries", json=REQUEST, timeout=(PATIENCE_S, 1))
    assert (len(kaspi.deliveries), kaspi.requests[0].status) == (booked, 0 if fault.drop else 201)


def test_a_webhook_reaches_the_shop(session, server, shop):
    """A test webhook is posted to its url, signed with the sandbox's secret."""
    url, got = shop
    answer = session.post(f"{server.url}/v1/webhooks/test", json={"url": url, "type": "delivery.delivered"})
    assert answer.status_code == 202
    headers, body = got.get(timeout=PATIENCE_S)
    assert headers["X-Kaspi-Signature"] == sign(defaults.WEBHOOK_SECRET, headers["X-Kaspi-Timestamp"], body)


def test_the_courier_works_in_the_background(session, kaspi, shop):
    """With a courier the status moves and is announced without being asked."""
    kaspi.webhook_url, got = shop
    with SandboxServer(kaspi, courier=Courier(kaspi, pace_s=0)) as server:
        kaspi.webhooks.lose = 4
        create(session, server)
        _headers, body = got.get(timeout=PATIENCE_S)
    assert b'"delivery.delivered"' in body


def test_start_and_stop(session, kaspi):
    """The url is known once the server runs; after stop() there is no answer, on old connections or new."""
    server = SandboxServer(kaspi)
    with pytest.raises(RuntimeError, match="Start"):
        _ = server.url
    url = server.start().url
    session.get(url)
    server.stop()
    server.stop()
    with pytest.raises(requests.ConnectionError):
        session.get(url)


def test_control_lists_and_moves_deliveries(session, server, control):
    """Another process can read what was booked, without an API key, and act as the courier."""
    delivery_id = create(session, server).json()["deliveryId"]
    del session.headers["x-api-key"]
    moved = control("POST", f"deliveries/{delivery_id}/move", json={"status": "returned", "notes": "Courier 7"})
    assert (moved.status_code, moved.json()["status"]) == (200, "returned")
    [listed] = control("GET", "deliveries").json()["deliveries"]
    assert (listed["deliveryId"], listed["externalOrderId"]) == (delivery_id, "order-742")
    assert (listed["status"], listed["history"][-1]["notes"]) == ("returned", "Courier 7")


def test_control_sets_and_clears_faults(session, server, kaspi, control):
    """Another process can make the API fail and work again, and its webhooks misbehave."""
    answers = [
        control("POST", "faults", json={"status": 503, "times": None}),
        create(session, server),
        control("DELETE", "faults"),
        create(session, server),
    ]
    assert [answer.status_code for answer in answers] == [201, 503, 204, 201]
    body = {"duplicate": True, "reorder": 2, "lose": 1, "delay_s": 3}
    assert control("POST", "webhooks", json=body).json() == body
    assert {name: getattr(kaspi.webhooks, name) for name in body} == body


@pytest.mark.parametrize(
    ("line", "body", "status"),
    [
        ("POST deliveries/{id}/move", {"status": ""}, 400),
        ("POST deliveries/{id}/move", {"status": "a\nPOST '/v1/deliveries' key='x' status=201"}, 400),
        ("POST deliveries/{id}/move", {"status": "тапсырыс"}, 400),
        ("POST deliveries/{id}/move", {"status": "x" * 65}, 400),
        ("POST deliveries/{id}/move", {"status": "accepted", "at": -1}, 400),
        ("POST deliveries/{id}/move", {"status": "accepted", "at": 253402300800}, 400),
        ("POST deliveries/{id}/move", {}, 400),
        ("POST deliveries/dlv_unknown/move", {"status": "accepted"}, 404),
        ("POST faults", {"status": "500"}, 400),
        ("POST faults", None, 400),
        ("POST faults", {"latency_s": 1e300}, 400),
        ("POST faults", {"status": 429, "retry_after": "1\r\nX-Other: 2"}, 400),
        ("POST faults", {"body": "\ud800"}, 400),
        ("POST webhooks", {"pending": 1}, 400),
        ("GET elsewhere", None, 404),
        ("PUT faults", {}, 405),
        ("POST deliveries", {}, 405),
    ],
)
def test_control_refuses_what_it_cannot_do(kaspi, control, line, body, status):
    """A mistake is answered, not acted on; a line break in a status would forge a line of the log."""
    delivery_id = kaspi._book(REQUEST).delivery_id
    method, path = line.format(id=delivery_id).split()
    answer = control(method, path, json=body)
    assert answer.status_code == status
    assert answer.json()["message"]
    assert (kaspi.deliveries[delivery_id].status, len(kaspi.faults)) == ("created", 0)


PATHS = [
    ("POST", "/v1/deliveries"),
    ("GET", "/v1/deliveries/dlv_1"),
    ("POST", "/_sandbox/faults"),
    ("DELETE", "/_sandbox/faults"),
    ("OPTIONS", "/v1/deliveries"),
    ("GET", "/"),
]


@pytest.mark.parametrize("headers", [{"Host": "page.example:8900"}, {"Origin": "http://page.example"}])
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_no_web_page_is_answered_on_any_path(session, server, kaspi, method, path, headers):
    """Neither one of another origin nor one whose domain was pointed at this machine."""
    answer = session.request(method, f"{server.url}{path}", json={"status": 503}, headers=headers, timeout=PATIENCE_S)
    assert (answer.status_code, len(kaspi.faults)) == (403, 0)
    assert not kaspi.requests


LOCAL = """
    127.0.0.1:8900 localhost:8900 LOCALHOST localhost. [::1]:8900 [::1] 192.168.0.5 sandbox:8900
    host.docker.internal:8900 shop.test kaspi.shop.example:80
"""
REMOTE = "page.example 127.0.0.1.page.example localhost.page.example:8900 page.example. xlocalhost.example"


def test_which_hosts_are_local():
    """An address, a name without a domain, one that cannot be registered, and the one it was started with."""
    assert all(is_local(host, "kaspi.shop.example") for host in LOCAL.split())
    assert not any(is_local(host, "kaspi.shop.example") for host in REMOTE.split())
