"""What the client's tests share: values, and a server that answers byte for byte."""

import dataclasses
import json
import re
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from kaspi_delivery_django.client import Contact, DeliveryRequest, KaspiClient, Location, Parcel, Timeouts, protocol
from tests.conftest import NOON, PATIENCE_S

API_KEY = "the-secret-api-key"
CERTIFICATE = Path(__file__).with_name("localhost.pem")
PERSONAL = ("Айгерим Ким", "+7 701 222 0000", "Алматы, Сатпаева 2", "домофон 42")
BOOKED = {"deliveryId": "dlv_1", "status": "created", "trackingUrl": "https://track.kaspi.kz/dlv_1"}


def request(**changes):
    """Return a delivery to book, full of personal data."""
    name, phone, address, notes = PERSONAL
    contact = Contact(name=name, phone=phone)
    fields = {
        "external_order_id": "order-742",
        "pickup": Location(address=address, contact=contact),
        "dropoff": Location(address=address, contact=contact, notes=notes),
        "parcel": Parcel(description="Книги", weight_grams=1200, value_kzt=45000),
    }
    return DeliveryRequest(**{**fields, **changes})


OPERATIONS = {
    "create": protocol.create(request(), "order-742"),
    "get": protocol.get("dlv_1"),
    "cancel": protocol.cancel("dlv_1", "changed mind", "order-742-cancel"),
    "test_webhook": protocol.test_webhook("https://shop.kz/kaspi/", "delivery.created"),
}


def request_to(**changes):
    """Return the request to a recipient with these fields of the contact."""
    dropoff = request().dropoff
    return request(dropoff=dataclasses.replace(dropoff, contact=dataclasses.replace(dropoff.contact, **changes)))


def create(client):
    """Book the delivery."""
    return client.create_delivery(request(), idempotency_key="order-742")


def read_answer(operation, answer):
    """Read the answer to an operation, at noon, as the client does."""
    read = protocol.read_test_webhook if operation == "test_webhook" else protocol.read_delivery
    return read(OPERATIONS[operation], answer, NOON)


def http(status, document=None, *, headers=(), body=None):
    """Return an answer as it stands on the wire, of a JSON document or of any bytes."""
    content = json.dumps(document).encode() if body is None else body
    lines = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def padded(length):
    """Return the body of a booking, with spaces up to a length."""
    return json.dumps(BOOKED).encode().ljust(length)


class Line:
    """One connection, as the server's script sees it."""

    def __init__(self, sock, server):
        self._sock, self._server, self._reader = sock, server, sock.makefile("rb")

    def request(self):
        """Read the next request; return whether there was one."""
        with suppress(OSError):
            head = self._head()
            length = re.search(rb"content-length: ([0-9]+)", head.lower())
            body = self._reader.read(int(length[1])) if length else b""
            if head:
                self._server.requests.append(head + body)
            return bool(head)
        return False

    def send(self, content):
        """Send; return whether the client still reads."""
        try:
            self._sock.sendall(content)
        except OSError:
            return False
        return True

    def trickle(self, content):
        """Send two bytes every twentieth of a second."""
        for start in range(0, len(content), 2):
            if self._server.stopping.wait(0.05):
                return
            self.send(content[start : start + 2])

    def hold(self):
        """Send nothing until the test is over."""
        self._server.stopping.wait(PATIENCE_S)

    def _head(self):
        rows = []
        for row in self._reader:
            rows.append(row)
            if row == b"\r\n":
                return b"".join(rows)
        return b""

    def close(self):
        """End the connection in both directions."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._reader.close()
        self._sock.close()


class RawServer:
    """Runs `script(line)` for each connection, in a thread of its own."""

    def __init__(self, context=None):
        self.script = None
        self.requests = []
        self.lines = []
        self.stopping = threading.Event()
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self):
        """The base URL."""
        scheme = "https" if self._context else "http"
        return f"{scheme}://localhost:{self._listener.getsockname()[1]}/delivery"

    def answer(self, *answers):
        """Send these answers, one for each request, and then hang up."""
        left = list(answers)

        def script(line):
            while left and line.request():
                line.send(left.pop(0))

        self.script = script

    def wait(self):
        """Wait until every connection so far has ended."""
        for thread in self._threads[1:]:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def stop(self):
        """End every connection and every thread."""
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _accept(self):
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
                self._threads[-1].start()

    def _serve(self, sock):
        try:
            secured = self._context.wrap_socket(sock, server_side=True) if self._context else sock
        except OSError:
            sock.close()
            return
        line = Line(secured, self)
        self.lines.append(line)
        self.script(line)
        line.close()


@pytest.fixture
def server():
    """A plain-text server whose answers a test scripts."""
    running = RawServer()
    yield running
    running.stop()


@pytest.fixture
def tls_server():
    """The same over TLS, with a certificate that is not trusted by default."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    running = RawServer(context)
    yield running
    running.stop()


@pytest.fixture
def connect():
    """Make clients whose deadline no answer misses, and close them at the end."""
    made = []

    def make(server_or_url, **options):
        base_url = getattr(server_or_url, "url", server_or_url)
        options = {"timeouts": Timeouts(read_s=PATIENCE_S, total_s=PATIENCE_S), **options}
        made.append(KaspiClient(API_KEY, base_url=base_url, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()
