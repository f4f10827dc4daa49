"""The sandbox over HTTP, with the courier and the webhooks running beside it."""

import re
import socket
import struct
import sys
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any, Self

from kaspi_delivery_django.sandbox.answers import Answer, refusal
from kaspi_delivery_django.sandbox.bodies import read_body
from kaspi_delivery_django.sandbox.control import PREFIX, handle_control
from kaspi_delivery_django.sandbox.courier import Courier
from kaspi_delivery_django.sandbox.webhooks import POST_TIMEOUT_S
from kaspi_delivery_django.sandbox.world import World

TICK_S = 0.05
BODY_WITHIN_S = 10.0
NO_BODY = frozenset({204, 304})
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
LOCAL_DOMAINS = (".localhost", ".internal", ".test")  # no one can register a name in them
_PORT = re.compile(r":[0-9]*$")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def is_local(host: str, own_name: str) -> bool:
    """Tell whether a Host header is meant for this machine or its network.

    A web page whose domain's owner lets it point here (DNS rebinding) sends its own domain.
    """
    name = _PORT.sub("", host.strip()).rstrip(".").lower()
    is_private = "." not in name or name.endswith(LOCAL_DOMAINS)
    return is_private or name == own_name.lower() or _is_address(name.strip("[]"))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], world: World) -> None:
        super().__init__(address, _Handler)
        self.world, self.own_name = world, address[0]
        self.stopping = threading.Event()
        self.connections: set[socket.socket] = set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that hangs up is no news
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End kept-alive connections, or they would outlive the server."""
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
        """Stay silent: the world has logged the request without query and headers."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Date the answers by the world's clock, as everything else there."""
        return super().date_time_string(self.server.world.clock() if timestamp is None else timestamp)

    def _serve(self) -> None:
        answer = self._answer()
        if answer.latency_s:
            self.server.stopping.wait(answer.latency_s)
        if answer.drop:
            self._drop()
        else:
            self._send(answer)

    def parse_request(self) -> bool:
        """Read the head, and serve every method alike: the API answers 405 where it has none."""
        if not super().parse_request():
            return False
        if not _METHOD.fullmatch(self.command):
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        setattr(self, f"do_{self.command}", self._serve)
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a head that http.server cannot read, as everything else: in JSON."""
        del explain
        self.close_connection = True
        self.request_version = self.protocol_version
        self._send(refusal(code, "bad_request", message or "The request cannot be read."))

    def _answer(self) -> Answer:
        body = self._read_body()
        if isinstance(body, Answer):
            self.close_connection = True
            return body
        if "Origin" in self.headers:  # a page in the developer's browser, whosever it is
            return refusal(403, "forbidden", "The sandbox answers programs, no web page: send no Origin.")
        if not all(is_local(host, self.server.own_name) for host in self.headers.get_all("Host", [])):
            return refusal(403, "forbidden", "The sandbox answers to an IP address, a local name or its --host alone.")
        if self.path.startswith(PREFIX):
            return handle_control(self.server.world, self.command, self.path, body)
        return self.server.world.handle(self.command, self.path, dict(self.headers), body)

    def _read_body(self) -> bytes | Answer:
        self.connection.settimeout(BODY_WITHIN_S)
        try:
            return read_body(self.headers, self.rfile)
        except TimeoutError:
            return refusal(408, "request_timeout", "The body did not arrive in time: is its Content-Length right?")
        finally:
            self.connection.settimeout(None)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        has_body = answer.status not in NO_BODY
        if has_body:
            self.send_header("Content-Length", str(len(answer.body)))
        if answer.truncate or self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if has_body and self.command != "HEAD":
            self.wfile.write(answer.sent_body)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.connection.close()


class SandboxServer:
    """A running local Kaspi; port 0 takes a free one, and `url` says which."""

    def __init__(self, world: World, host: str = "127.0.0.1", port: int = 0, courier: Courier | None = None) -> None:
        self.world = world
        self._address = (host, port)
        self._courier = courier
        self._server: _HTTPServer | None = None
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """The base URL; raises RuntimeError when the server is not running."""
        if self._server is None:
            raise RuntimeError("Start the sandbox server before asking for its url.")
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> Self:
        """Bind, and serve from background threads; raises OSError when the port is taken."""
        server = self._server = _HTTPServer(self._address, self.world)
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(TICK_S,), daemon=True),
            threading.Thread(target=self._live, args=(server,), daemon=True),
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
        server.hang_up()
        for thread in self._threads:
            thread.join(POST_TIMEOUT_S + 1)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _live(self, server: _HTTPServer) -> None:
        while not server.stopping.wait(TICK_S):
            now = self.world.clock()
            if self._courier:
                self._courier.step(now)
            while not server.stopping.is_set() and self.world.mailbox.deliver_next(now):
                pass
