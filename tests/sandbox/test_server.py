import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests

from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.server import Courier, SandboxServer, is_local
from kaspi_delivery_django.sandbox.webhooks import sign
from tests.conftest import PATIENCE_S
from tests.sandbox.conftest import REQUEST

SECRET = "a-webhook-secret-of-more-than-32-characters"


@pytest.fixture
def kaspi():
    """A `FakeKaspi` on the wall clock that sends no webhooks."""
    return FakeKaspi(webhook_secret=SECRET)


@pytest.fixture
def server(kaspi):
    with SandboxServer(kaspi) as server:
        yield server


@pytest.fixture
def session(kaspi):
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update({"x-api-key": kaspi.api_key, "Idempotency-Key": "order-742"})
        yield session


def create(session, server, **options):
    return session.post(f"{server.url}/v1/deliveries", json=REQUEST, timeout=PATIENCE_S, **options)


@pytest.fixture
def shop():
    """A shop's webhook receiver on a socket; `arrived` is set by the first event."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            shop.received.append((dict(self.headers), body))
            self.send_response(204)
            self.end_headers()
            shop.arrived.set()

        def log_message(self, *args):
            """Stay silent."""

    shop = HTTPServer(("127.0.0.1", 0), Handler)
    shop.received, shop.arrived = [], threading.Event()
    thread = threading.Thread(target=shop.serve_forever, args=(0.01,))
    thread.start()
    yield shop
    shop.shutdown()
    thread.join()
    shop.server_close()


def test_the_four_calls_over_http(session, server):
    """Create, get, cancel and a second cancel answer as documented."""
    created = create(session, server)
    url = f"{server.url}/v1/deliveries/{created.json()['deliveryId']}"
    history = session.get(f"{url}?includeHistory=true").json()["history"]
    cancelled = session.post(f"{url}/cancel", headers={"Idempotency-Key": "c"})
    again = session.post(f"{url}/cancel", headers={"Idempotency-Key": "c-2"})
    assert (created.status_code, len(history)) == (201, 1)
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert again.status_code == 409


def test_connections_are_kept_alive(session, server):
    """HTTP/1.1: a second request on the session travels on the first one's connection."""
    (create(session, server), create(session, server))
    (connection,) = server._server.connections
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X-OTHER"])
def test_a_wrong_method(session, server, method):
    """Any other verb on a known path is 405 in JSON, and the connection goes on."""
    answer = session.request(method, f"{server.url}/v1/deliveries")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert create(session, server).status_code == 201


def test_head_is_a_wrong_method(session, server):
    """HEAD is 405 as well, without a body."""
    assert session.head(f"{server.url}/v1/deliveries").status_code == 405
    assert create(session, server).status_code == 201


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_can_have_no_body(session, server, kaspi, status):
    """A fault of 204 or 304 leaves nothing behind that the next answer begins with."""
    kaspi.faults.add(Fault(status=status))
    assert [create(session, server).status_code for _ in range(2)] == [status, 201]


@pytest.mark.parametrize(("drop", "booked"), [("before", 0), ("after", 1)])
def test_a_dropped_connection(session, server, kaspi, drop, booked):
    """A drop is a connection error, before or after the booking."""
    kaspi.faults.add(Fault(drop=drop))
    with pytest.raises(requests.ConnectionError):
        create(session, server)
    assert len(kaspi.deliveries) == booked


def test_a_cut_body(session, server, kaspi):
    """A cut body ends under its Content-Length."""
    kaspi.faults.add(Fault(truncate=True))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        create(session, server)


def test_a_late_answer(session, server, kaspi):
    """Latency makes the client's read time out; the booking stands."""
    kaspi.faults.add(Fault(latency_s=30))
    with pytest.raises(requests.ReadTimeout):
        session.post(f"{server.url}/v1/deliveries", json=REQUEST, timeout=(PATIENCE_S, 1))
    assert len(kaspi.deliveries) == 1


def test_a_webhook_reaches_the_shop(session, server, shop):
    """A test webhook is posted to its url, signed with the sandbox's secret."""
    url = f"http://127.0.0.1:{shop.server_port}/kaspi/webhook/"
    answer = session.post(f"{server.url}/v1/webhooks/test", json={"url": url, "type": "delivery.delivered"})
    assert (answer.status_code, shop.arrived.wait(PATIENCE_S)) == (202, True)
    headers, body = shop.received[0]
    expected = sign(SECRET, headers["X-Kaspi-Timestamp"], body)
    assert headers["X-Kaspi-Signature"] == expected


def test_the_courier_works_in_the_background(session, kaspi, shop):
    """With a courier the status moves and is announced without being asked."""
    kaspi.webhook_url = f"http://127.0.0.1:{shop.server_port}/"
    with SandboxServer(kaspi, courier=Courier(kaspi, pace_s=0)) as server:
        kaspi.webhooks.lose = 4
        create(session, server)
        assert shop.arrived.wait(PATIENCE_S)
    assert b'"delivery.delivered"' in shop.received[0][1]


def test_no_url_before_the_start(kaspi):
    """The address is known once the server runs."""
    with pytest.raises(RuntimeError, match="Start"):
        _ = SandboxServer(kaspi).url


def test_stopping_ends_kept_connections(session, kaspi):
    """After stop() nobody answers, on old connections or new; stopping twice is harmless."""
    server = SandboxServer(kaspi).start()
    url = server.url
    session.get(url)
    server.stop()
    server.stop()
    with pytest.raises(requests.ConnectionError):
        session.get(url)


def test_control_lists_deliveries(session, server):
    """Another process can look at what was booked, without an API key."""
    delivery_id = create(session, server).json()["deliveryId"]
    (listed,) = requests.get(f"{server.url}/_sandbox/deliveries", timeout=PATIENCE_S).json()["deliveries"]
    assert (listed["deliveryId"], listed["externalOrderId"]) == (delivery_id, "order-742")
    assert (listed["status"], len(listed["history"])) == ("created", 1)


def test_control_moves_a_delivery(session, server, kaspi):
    """Another process can play the courier."""
    delivery_id = create(session, server).json()["deliveryId"]
    url = f"{server.url}/_sandbox/deliveries/{delivery_id}/move"
    answer = session.post(url, json={"status": "in_transit", "notes": "Courier 7"})
    assert (answer.status_code, answer.json()["status"]) == (200, "in_transit")
    assert kaspi.deliveries[delivery_id].history[-1]["notes"] == "Courier 7"


def test_control_sets_and_clears_faults(session, server):
    """Another process can break the API and mend it."""
    url = f"{server.url}/_sandbox/faults"
    set_ = session.post(url, json={"status": 503, "times": None})
    broken = create(session, server)
    cleared = session.delete(url)
    mended = create(session, server)
    answers = (set_, broken, cleared, mended)
    assert [answer.status_code for answer in answers] == [201, 503, 204, 201]


def test_no_web_page_controls_it(session, server, kaspi):
    """A browser says from where it asks; whatever page is open there must not break the developer's Kaspi."""
    url = f"{server.url}/_sandbox/faults"
    answer = session.post(url, json={"status": 503}, headers={"Origin": "https://page.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert create(session, server).status_code == 201


def test_control_disturbs_webhooks(session, server, kaspi):
    """Another process can make webhooks misbehave."""
    body = {"duplicate": True, "reorder": 2, "lose": 1, "delay_s": 3}
    assert session.post(f"{server.url}/_sandbox/webhooks", json=body).json() == body
    box = kaspi.webhooks
    assert (box.duplicate, box.reorder, box.lose, box.delay_s) == (True, 2, 1, 3)


@pytest.mark.parametrize(
    "status", ["", "two words", "a\nPOST '/v1/deliveries' key='x' status=201", "тапсырыс", "x" * 65]
)
def test_control_moves_no_delivery_into_a_line(session, server, kaspi, status):
    """A status is one word, known or not: a line break in it would forge a line of the log."""
    delivery_id = create(session, server).json()["deliveryId"]
    url = f"{server.url}/_sandbox/deliveries/{delivery_id}/move"
    assert session.post(url, json={"status": status}).status_code == 400
    assert session.post(url, json={"status": "returned"}).json()["status"] == "returned"


@pytest.mark.parametrize("at", [-1, 1e18, 253402300800])
def test_control_moves_no_delivery_out_of_time(session, server, kaspi, at):
    """A time that no calendar has is a mistake in the request."""
    delivery_id = create(session, server).json()["deliveryId"]
    url = f"{server.url}/_sandbox/deliveries/{delivery_id}/move"
    assert session.post(url, json={"status": "accepted", "at": at}).status_code == 400
    assert kaspi.deliveries[delivery_id].status == "created"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "deliveries/dlv_unknown/move", {"status": "accepted"}, 404),
        ("POST", "deliveries/dlv_unknown/move", {}, 400),
        ("POST", "faults", {"status": "500"}, 400),
        ("POST", "faults", None, 400),
        ("POST", "webhooks", {"pending": 1}, 400),
        ("GET", "elsewhere", None, 404),
        ("PUT", "faults", {}, 405),
        ("POST", "deliveries", {}, 405),
        ("POST", "faults", {"latency_s": 1e300}, 400),
        ("POST", "faults", {"status": 429, "retry_after": "1\r\nX-Other: 2"}, 400),
        ("POST", "faults", {"body": "\ud800"}, 400),
    ],
)
def test_control_refuses_what_it_cannot_do(session, server, method, path, body, status):
    """A mistake in a control request is answered, not acted on."""
    answer = session.request(method, f"{server.url}/_sandbox/{path}", json=body)
    assert answer.status_code == status
    assert answer.json()["message"]


PATHS = [
    ("POST", "/v1/deliveries"),
    ("GET", "/v1/deliveries/dlv_1"),
    ("POST", "/v1/deliveries/dlv_1/cancel"),
    ("POST", "/v1/webhooks/test"),
    ("GET", "/_sandbox/deliveries"),
    ("POST", "/_sandbox/faults"),
    ("DELETE", "/_sandbox/faults"),
    ("OPTIONS", "/v1/deliveries"),
    ("GET", "/"),
]


@pytest.mark.parametrize("headers", [{"Host": "page.example:8900"}, {"Origin": "http://page.example"}])
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_no_web_page_is_answered_on_any_path(session, server, kaspi, method, path, headers):
    """Neither one of another origin nor one whose domain was pointed at this machine."""
    answer = session.request(method, f"{server.url}{path}", json=REQUEST, headers=headers, timeout=PATIENCE_S)
    assert answer.status_code == 403
    assert not kaspi.deliveries
    assert not kaspi.requests


HOSTS = [
    ("127.0.0.1:8900", True),
    ("localhost:8900", True),
    ("LOCALHOST", True),
    ("localhost.", True),
    ("[::1]:8900", True),
    ("[::1]", True),
    ("192.168.0.5", True),
    ("sandbox:8900", True),  # a container's name
    ("host.docker.internal:8900", True),
    ("shop.test", True),
    ("kaspi.shop.example:80", True),  # what it was started with
    ("page.example", False),
    ("127.0.0.1.page.example", False),
    ("localhost.page.example:8900", False),
    ("page.example.", False),
    ("xlocalhost.example", False),
]


@pytest.mark.parametrize(("host", "local"), HOSTS)
def test_which_hosts_are_local(host, local):
    """An address, a name without a domain, or one that cannot be registered."""
    assert is_local(host, "kaspi.shop.example") is local
