"""The shop under gunicorn, and a load generator with little overhead: one thread, a connection for each request."""

import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import quantiles

from benchmarks import databases
from benchmarks.report import Sample
from benchmarks.rounds import timed

WORKERS = 2
CONNECTIONS = 8
READ_BYTES = 65_536
TIMEOUT_S = 30


@contextmanager
def serving(url: str, settings: str) -> Iterator[int]:
    """Serve the project with this database; yield the port, and end the server afterwards."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        port: int = listener.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "--workers", str(WORKERS), "--log-level", "error"]
        command += ["--bind", f"fd://{listener.fileno()}", "django.core.wsgi:get_wsgi_application()"]
        environment = {**os.environ, **databases.environment(url, settings)}
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], env=environment)  # noqa: S603  # our own server
        try:
            send(port, [b"GET /nothing/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"], expected=200)
            yield port
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


def send(port: int, requests: Sequence[bytes], *, expected: int) -> Sample:
    """Send all requests, eight at a time, and wait for the answers. Raises `RuntimeError` at another status."""
    latencies_s: list[float] = []
    timing = timed(lambda: _send_all(port, requests, expected, latencies_s))
    p99_s = quantiles(latencies_s, n=100)[98] if len(latencies_s) > 1 else latencies_s[0]
    facts = {"req/s": round(len(requests) / timing.elapsed_s), "p99 ms": round(p99_s * 1000, 1), "busy %": timing.busy}
    return Sample(ms=timing.elapsed_s * 1000 / len(requests), facts=facts)


@dataclass(kw_only=True)
class _Exchange:
    connection: socket.socket
    began: float = field(default_factory=time.perf_counter)
    answer: bytes = b""


def _send_all(port: int, requests: Sequence[bytes], expected: int, latencies_s: list[float]) -> None:
    pending = list(reversed(requests))
    with selectors.DefaultSelector() as selector:
        for _ in range(min(CONNECTIONS, len(pending))):
            _begin(selector, port, pending.pop())
        while selector.get_map():
            ready = selector.select(TIMEOUT_S)
            if not ready:
                raise TimeoutError(f"no answer within {TIMEOUT_S} s")
            for exchange in [key.data for key, _events in ready if _is_complete(key.data)]:
                latencies_s.append(time.perf_counter() - exchange.began)
                selector.unregister(exchange.connection)
                _end(exchange, expected)
                if pending:
                    _begin(selector, port, pending.pop())


def _begin(selector: selectors.BaseSelector, port: int, request: bytes) -> None:
    exchange = _Exchange(connection=socket.create_connection(("127.0.0.1", port)))
    exchange.connection.sendall(request)
    selector.register(exchange.connection, selectors.EVENT_READ, exchange)


def _is_complete(exchange: _Exchange) -> bool:
    piece = exchange.connection.recv(READ_BYTES)
    exchange.answer += piece
    return not piece


def _end(exchange: _Exchange, expected: int) -> None:
    exchange.connection.close()
    first = exchange.answer.split(b"\r\n", 1)[0].decode()
    if f" {expected} " not in first:
        raise RuntimeError(f"answered {first!r}, not {expected}")
