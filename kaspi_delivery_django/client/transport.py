"""A `requests` adapter with one deadline for the whole exchange.

The timeouts of `requests` are per read, so a server that trickles a byte every few seconds defeats
them. Here every read of the socket waits at most for what is left of the deadline, the bytes of an answer
are counted, and the exchange knows whether a byte of the request can have left this machine.
"""

import io
import socket
import time
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

MAX_ANSWER_BYTES = 8 * 1024 * 1024  # with the head, of which `http.client` reads up to 6.5 MiB


class Exchange:
    """One request and its answer: until when (monotonic seconds), whether bytes have left, how many came."""

    def __init__(self, total_s: float) -> None:
        self.deadline = time.monotonic() + total_s
        self.bytes_left = True
        self.bytes_read = 0

    def seconds_left(self) -> float:
        """Return what is left of the deadline; raise `TimeoutError` when nothing is."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the total deadline has passed")
        return left

    def count(self, read: int) -> None:
        """Count bytes of the answer; raise `OSError` past `MAX_ANSWER_BYTES`.

        `http.client` takes a chunk of -1 bytes for all that ever comes, and reads trailers without an end.
        """
        self.bytes_read += read
        if self.bytes_read > MAX_ANSWER_BYTES:
            raise OSError("the answer is larger than 8 MiB")


current: ContextVar[Exchange | None] = ContextVar("kaspi_exchange", default=None)


class _DeadlineReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        self._raw, self._sock, self._exchange = raw, sock, exchange
        self._read_timeout_s = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._exchange.seconds_left()
        self._sock.settimeout(min(left, self._read_timeout_s or left))
        read = self._raw.readinto(buffer)
        self._exchange.count(read or 0)
        return read

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        exchange = current.get()
        if exchange is not None:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_DeadlineReader(raw, sock, exchange))


class _Connection(HTTPConnection):
    response_class = _DeadlineResponse

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        exchange = current.get()
        if exchange is not None:
            exchange.seconds_left()  # raises past the deadline: no byte is sent then
            exchange.bytes_left = True
        super().send(data)


class _SecureConnection(_Connection, HTTPSConnection): ...


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class DeadlineAdapter(HTTPAdapter):
    """Keeps connections alive and every exchange within its deadline."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools out of the connections above."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Send; until the socket is written to, no byte has left."""
        exchange = current.get()
        if exchange is not None:
            exchange.bytes_left = False
        return super().send(*args, **kwargs)
