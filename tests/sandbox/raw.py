"""A client that sends exactly the bytes that a test writes, and reads what comes until the connection ends."""

import json
import socket
from typing import NamedTuple

from tests.conftest import PATIENCE_S


class Answer(NamedTuple):
    """One answer off the wire; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self):
        """The body, read as JSON."""
        return json.loads(self.body)


def send(url, data, *, ends=True):
    """Send bytes to the server at this URL; the client's side of the connection `ends` after them, or stays open."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(data)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        return read(b"".join(iter(lambda: connection.recv(65536), b"")))


def request(line, headers=(), body=b"", *, length=True):
    """Write a request: its line, its headers, and by default the right Content-Length."""
    sized = [f"Content-Length: {len(body)}"] if length else []
    head = "\r\n".join([f"{line} HTTP/1.1", "Host: 127.0.0.1", *sized, *headers, "", ""])
    return head.encode("latin-1") + body


def read(data):
    """Take one answer apart."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(int(first.split(" ")[1]), {name.lower(): value for name, value in headers.items()}, body)
