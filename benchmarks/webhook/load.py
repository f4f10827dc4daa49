"""A load generator that costs little: one thread, bytes made beforehand, a connection for each request."""

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

MOST_BYTES = 65_536
PATIENCE_S = 30


@dataclass(frozen=True, kw_only=True)
class Load:
    """What came of it. Times in seconds; `busy` is the share of the time that the generator itself computed."""

    elapsed_s: float
    latencies_s: Sequence[float]
    busy: float

    @property
    def p99_ms(self) -> float:
        """The latency that one request in a hundred exceeds."""
        return quantiles(self.latencies_s, n=100)[98] * 1000


@dataclass(kw_only=True)
class _Exchange:
    began: float
    answer: bytes = b""


def fire(port: int, requests: Sequence[bytes], *, connections: int, expected: int) -> Load:
    """Send them all, so many at a time, and wait for every answer. Raises `RuntimeError` at another status."""
    waiting = list(reversed(requests))
    latencies: list[float] = []
    began, computed = time.perf_counter(), time.process_time()
    with selectors.DefaultSelector() as selector:
        for _ in range(min(connections, len(waiting))):
            _begin(selector, port, waiting.pop())
        while selector.get_map():
            ready = selector.select(PATIENCE_S)
            if not ready:
                raise TimeoutError(f"no answer within {PATIENCE_S} s")
            for key, _events in ready:
                piece = key.fileobj.recv(MOST_BYTES)  # type: ignore[union-attr]  # only sockets are registered
                if piece:
                    key.data.answer += piece
                    continue
                latencies.append(time.perf_counter() - key.data.began)
                _check(key.data.answer, expected)
                selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]  # only sockets are registered
                if waiting:
                    _begin(selector, port, waiting.pop())
    elapsed = time.perf_counter() - began
    busy = (time.process_time() - computed) / elapsed
    return Load(elapsed_s=elapsed, latencies_s=latencies, busy=busy)


def _begin(selector: selectors.BaseSelector, port: int, request: bytes) -> None:
    exchange = _Exchange(began=time.perf_counter())
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(request)
    selector.register(connection, selectors.EVENT_READ, exchange)


def _check(answer: bytes, expected: int) -> None:
    first = answer.split(b"\r\n", 1)[0].decode()
    if f" {expected} " not in first:
        raise RuntimeError(f"answered {first!r}, not {expected}")
