"""A Kaspi in a process of its own that stores nothing, and answers at once or, below `/late`, after 50 ms.

A POST books a delivery; a GET says that the courier has picked it up. The file runs on a socket that listens already.
"""

import asyncio
import json
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LATENCY_S = 0.05
BASE_URL = "BENCHMARK_BASE_URL"  # names it to the processes of contestants
LATE = "/late"
TIMEOUT_S = 30
END_OF_HEADERS = b"\r\n\r\n"
LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    """One connection, with one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing received."""
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer a request that is complete."""
        self._received += data
        head, end, body = self._received.partition(END_OF_HEADERS)
        if not end or len(body) < _length(head):
            return
        self._received = b""
        method, path, _version = head.split(b"\r\n", 1)[0].decode().split(" ")
        delay_s = LATENCY_S if path.startswith(LATE) else 0
        answer = _http(_document(method, path, body))
        asyncio.get_running_loop().call_later(delay_s, self._transport.write, answer)  # type: ignore[attr-defined]


@contextmanager
def running() -> Iterator[str]:
    """Start the server; yield its address; end it afterwards."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        command = [sys.executable, "-P", __file__, str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()])  # noqa: S603  # our own server
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


def _document(method: str, path: str, body: bytes) -> dict[str, Any]:
    if method == "GET":
        return {"deliveryId": path.partition("?")[0].rpartition("/")[2], "status": "in_transit"}
    delivery_id = f"dlv_{uuid.uuid4().hex}"
    return {
        "deliveryId": delivery_id,
        "status": "created",
        "externalOrderId": json.loads(body)["externalOrderId"],
        "trackingUrl": f"https://track.kaspi.kz/{delivery_id}",
        "eta": {"pickupBy": "2026-03-01T13:00:00Z", "deliveryBy": "2026-03-01T15:00:00Z"},
    }


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(LENGTH)
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def _http(document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    status = "201 Created" if "eta" in document else "200 OK"
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def _serve(listener: socket.socket) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1]))))
