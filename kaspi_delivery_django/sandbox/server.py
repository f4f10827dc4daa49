"""Serve the sandbox over HTTP; move deliveries and send webhooks in the background."""

import re
import socket
import struct
import sys
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from itertools import pairwise
from typing import Any, Self

from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.control import PREFIX, handle_control
from kaspi_delivery_django.sandbox.deliveries import ROUTE, DeliveryRecord
from kaspi_delivery_django.sandbox.requests import read_body
from kaspi_delivery_django.sandbox.responses import Response, error_response
from kaspi_delivery_django.sandbox.webhooks import POST_TIMEOUT_S

TICK_S = 0.05
BODY_WITHIN_S = 10.0
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
LOCAL_DOMAINS = (".localhost", ".internal", ".test")  # no one can register a name in them
_NEXT = dict(pairwise(ROUTE))
_PORT = re.compile(r":[0-9]*$")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def is_local(host: str, own_host: str) -> bool:
    """Return whether a Host header names this machine or its network.

    A web page whose domain resolves to this machine (DNS rebinding) sends its own domain.
    """
    name = _PORT.sub("", host.strip()).rstrip(".").lower()
    is_private = "." not in name or name.endswith(LOCAL_DOMAINS)
    return is_private or name == own_host.lower() or _is_address(name.strip("[]"))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], kaspi: FakeKaspi) -> None:
        super().__init__(address, _Handler)
        self.kaspi, self.own_host = kaspi, address[0]
        self.stopping = threading.Event()
        self.connections: set[socket.socket] = set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that disconnects is no error
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        """Close kept-alive connections, which would outlive the server."""
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "KaspiSandbox"
    disable_nagle_algorithm = True
    server: _HTTPServer

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Log nothing: `FakeKaspi` has logged the request, without query and headers."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Format the Date header by the clock of `FakeKaspi`."""
        return super().date_time_string(self.server.kaspi.clock() if timestamp is None else timestamp)

    def _serve(self) -> None:
        response = self._respond()
        if response.latency_s:
            self.server.stopping.wait(response.latency_s)
        if response.drop:
            self._drop()
        else:
            self._send(response)

    def parse_request(self) -> bool:
        """Read the head, and route every method to the API, which responds 405 to an unknown one."""
        if not super().parse_request():
            return False
        if not _METHOD.fullmatch(self.command):
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        setattr(self, f"do_{self.command}", self._serve)
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Respond in JSON to a head that http.server cannot read."""
        del explain
        self.close_connection = True
        self.request_version = self.protocol_version
        self._send(error_response(code, "bad_request", message or "The request cannot be read."))

    def _respond(self) -> Response:
        body = self._read_body()
        if isinstance(body, Response):
            self.close_connection = True
            return body
        if "Origin" in self.headers:  # any page in the developer's browser
            return error_response(403, "forbidden", "The sandbox serves programs, not web pages: send no Origin.")
        if not all(is_local(host, self.server.own_host) for host in self.headers.get_all("Host", [])):
            return error_response(403, "forbidden", "Send an IP address, a local name or the --host as Host.")
        if self.path.startswith(PREFIX):
            return handle_control(self.server.kaspi, self.command, self.path, body)
        return self.server.kaspi.handle(self.command, self.path, dict(self.headers), body)

    def _read_body(self) -> bytes | Response:
        self.connection.settimeout(BODY_WITHIN_S)
        try:
            return read_body(self.headers, self.rfile)
        except TimeoutError:
            return error_response(408, "request_timeout", "The body did not arrive in time: check Content-Length.")
        finally:
            self.connection.settimeout(None)

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.can_have_body:
            self.send_header("Content-Length", str(len(response.body)))
        if response.truncate or self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if response.can_have_body and self.command != "HEAD":
            self.wfile.write(response.sent_body)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.connection.close()


class Courier:
    """Moves each delivery to its next status; `pace_s` is the time in one status."""

    def __init__(self, kaspi: FakeKaspi, pace_s: float) -> None:
        self._kaspi = kaspi
        self._pace_s = pace_s

    def step(self, now: float) -> None:
        """Carry out pending cancels, then move each delivery that is due by one status."""
        with self._kaspi.lock:
            for record in list(self._kaspi.deliveries.values()):
                self._move(record, now)

    def _move(self, record: DeliveryRecord, now: float) -> None:
        if record.pending_cancel is not None:
            self._kaspi.move(record.delivery_id, "cancelled", now, record.pending_cancel)
        elif record.status in _NEXT and now - record.changed_at >= self._pace_s:
            self._kaspi.move(record.delivery_id, _NEXT[record.status], now)


class SandboxServer:
    """A local Kaspi over HTTP; port 0 binds a free one, see `url`."""

    def __init__(
        self, kaspi: FakeKaspi, host: str = "127.0.0.1", port: int = 0, courier: Courier | None = None
    ) -> None:
        self.kaspi = kaspi
        self._address = (host, port)
        self._courier = courier
        self._server: _HTTPServer | None = None
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """The base URL; raises RuntimeError when the server is not running."""
        if self._server is None:
            raise RuntimeError("Start the sandbox server before you read its url.")
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> Self:
        """Bind and serve in background threads; raises OSError when the port is in use."""
        server = self._server = _HTTPServer(self._address, self.kaspi)
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(TICK_S,), daemon=True),
            threading.Thread(target=self._run_background, args=(server,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Close every connection and wait for the threads; a second call does nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        server.stopping.set()
        server.shutdown()
        server.server_close()
        server.close_connections()
        for thread in self._threads:
            thread.join(POST_TIMEOUT_S + 1)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _run_background(self, server: _HTTPServer) -> None:
        while not server.stopping.wait(TICK_S):
            now = self.kaspi.clock()
            if self._courier:
                self._courier.step(now)
            while not server.stopping.is_set() and self.kaspi.webhooks.deliver_next(now):
                pass
