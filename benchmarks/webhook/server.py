"""The shop under gunicorn: two workers, nothing else turned."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import engines

WORKERS = 2
SETTINGS = "benchmarks.webhook.settings"
PATIENCE_S = 30


@contextmanager
def served(url: str) -> Iterator[int]:
    """Serve the project with this database; yield the port, and end the server afterwards."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        port: int = listener.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "--workers", str(WORKERS), "--log-level", "error"]
        command += ["--bind", f"fd://{listener.fileno()}", "benchmarks.webhook.wsgi"]
        environment = {**os.environ, **engines.environment(url, SETTINGS)}
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], env=environment)  # noqa: S603  # our own server
        try:
            _wait_for(port)
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /nothing/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            if connection.recv(12) == b"HTTP/1.1 200":
                return
    raise TimeoutError("gunicorn does not answer")
