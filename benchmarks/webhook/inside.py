"""The same requests in process, through the whole of Django and without a server: Python's and the database's share."""

import io
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.webhook.wsgi import application


def take(requests: Sequence[bytes], expected: int) -> tuple[float, float]:
    """Answer them one after another; return the seconds that passed, and those that this process computed."""
    environs = [_environ(request) for request in requests]
    began, computed = time.perf_counter(), time.process_time()
    answers = [_answer(environ) for environ in environs]
    taken = time.perf_counter() - began, time.process_time() - computed
    if refused := [answer for answer in answers if not answer.startswith(f"{expected} ")]:
        raise RuntimeError(f"{len(refused)} answers as {refused[0]}")
    return taken


def _answer(environ: dict[str, Any]) -> str:
    said: list[str] = []

    def start(status: str, _headers: list[tuple[str, str]], _error: Any = None) -> Any:
        said.append(status)

    response: Any = application(environ, start)
    for _piece in response:
        pass
    response.close()
    return said[0]


def _environ(request: bytes) -> dict[str, Any]:
    head, body = request.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    method, path, _version = first.split(" ")
    headers = (line.split(": ", 1) for line in lines)
    named = {name.upper().replace("-", "_"): value for name, value in headers}
    return {
        **{name if name.startswith("CONTENT_") else f"HTTP_{name}": value for name, value in named.items()},
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
    }
