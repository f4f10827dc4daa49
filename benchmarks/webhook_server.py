"""The shop under gunicorn, and a load generator with little overhead: a connection for each request."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
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
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        send_one = partial(_send_one, port, expected)
        timing = timed(lambda: latencies_s.extend(pool.map(send_one, requests)))
    p99_s = quantiles(latencies_s, n=100)[98] if len(latencies_s) > 1 else latencies_s[0]
    facts = {"req/s": round(len(requests) / timing.elapsed_s), "p99 ms": round(p99_s * 1000, 1), "busy %": timing.busy}
    return Sample(ms=timing.elapsed_s * 1000 / len(requests), facts=facts)


def _send_one(port: int, expected: int, request: bytes) -> float:
    """Return the seconds until the connection is closed after the whole answer."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(request)
        answer = b"".join(iter(partial(connection.recv, READ_BYTES), b""))
    first = answer.split(b"\r\n", 1)[0].decode()
    if f" {expected} " not in first:
        raise RuntimeError(f"answered {first!r}, not {expected}")
    return time.perf_counter() - began
