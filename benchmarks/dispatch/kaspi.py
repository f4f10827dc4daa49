"""A Kaspi that books whatever it is asked to, 50 ms later: connections are kept, the process is its own."""

import asyncio
import json
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

LATENCY_S = 0.05
END_OF_HEADERS = b"\r\n\r\n"
LENGTH = b"content-length:"
PATIENCE_S = 30


class Booking(asyncio.Protocol):
    """One connection: a request, its answer, and so on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing."""
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer, a while after the last byte of a request has come."""
        self._received += data
        head, end, rest = self._received.partition(END_OF_HEADERS)
        length = _length(head)
        if end and len(rest) >= length:
            self._received = rest[length:]
            asyncio.get_running_loop().call_later(LATENCY_S, self._answer, rest[:length])

    def _answer(self, body: bytes) -> None:
        delivery_id = f"dlv_{uuid.uuid4().hex}"
        booked = {
            "deliveryId": delivery_id,
            "status": "created",
            "externalOrderId": json.loads(body)["externalOrderId"],
            "trackingUrl": f"https://track.kaspi.kz/{delivery_id}",
            "eta": {"pickupBy": "2026-03-01T13:00:00Z", "deliveryBy": "2026-03-01T15:00:00Z"},
        }
        answer = json.dumps(booked).encode()
        head = f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        self._transport.write(head.encode() + answer)  # type: ignore[attr-defined]  # it is a socket's


@contextmanager
def answering() -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Start it; yield its port and its process, and end it afterwards."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        port: int = listener.getsockname()[1]
        command = [sys.executable, __file__, str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()])  # noqa: S603  # our own server
        try:
            yield port, process
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def _length(head: bytes) -> int:
    lines = (line.lower() for line in head.split(b"\r\n"))
    return next((int(line.removeprefix(LENGTH)) for line in lines if line.startswith(LENGTH)), 0)


async def _serve(listener: socket.socket) -> None:
    server = await asyncio.get_running_loop().create_server(Booking, sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1]))))
