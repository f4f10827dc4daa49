"""A Kaspi that costs little: any request is answered with the same delivery, at once or 50 ms later.

This file runs as a process of its own, on a socket that listens already.
"""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LATENCY_S = 0.05
LATE, COMPUTED = "/late", "/computed"
PATIENCE_S = 30
_LENGTH = b"content-length:"
DELIVERY: dict[str, Any] = {
    "deliveryId": "dlv_5f0c7a2e9b",
    "externalOrderId": "order-742",
    "status": "created",
    "trackingUrl": "https://track.kaspi.kz/dlv_5f0c7a2e9b",
    "eta": {"pickupBy": "2026-03-02T10:00:00Z", "deliveryBy": "2026-03-02T14:00:00Z"},
}


@contextmanager
def served() -> Iterator[str]:
    """Start it; yield its address, and end it afterwards."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        command = [sys.executable, "-P", __file__, str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()])  # noqa: S603  # our own server
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


class _Line(asyncio.Protocol):
    """One connection: a request at a time, as clients without pipelining send them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a stream's
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            self._received = b""
            self._answer(head.split(b" ", 2)[1].decode())

    def _answer(self, path: str) -> None:
        if path.startswith(LATE):
            asyncio.get_running_loop().call_later(LATENCY_S, self._transport.write, _BOOKED)
        elif path == COMPUTED:
            self._transport.write(_http({"s": time.process_time()}))
        else:
            self._transport.write(_BOOKED)


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(_LENGTH)
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def _http(document: object) -> bytes:
    body = json.dumps(document).encode()
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


_BOOKED = _http(DELIVERY)


async def _serve(listener: socket.socket) -> None:
    server = await asyncio.get_running_loop().create_server(_Line, sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1]))))
