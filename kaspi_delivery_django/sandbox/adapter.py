"""The sandbox mounted on a requests session: no socket, and nobody sleeps."""

import io
from collections.abc import Mapping
from http.client import HTTPResponse as WireResponse
from http.client import responses as reasons
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse, Timeout
from urllib3.exceptions import ProtocolError

from kaspi_delivery_django.sandbox.answers import Answer
from kaspi_delivery_django.sandbox.world import World

if TYPE_CHECKING:
    import socket


class SandboxAdapter(HTTPAdapter):
    """Answers a session's requests from a world, with the errors a network would bring.

    A latency that reaches the read timeout raises ReadTimeout at once, a shorter one passes
    unnoticed; a dropped connection raises ConnectionError.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - the signature is that of requests
        timeout: Any = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002 - as above
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        del stream, verify, cert, proxies
        answer = self._world.handle(request.method or "GET", request.path_url, dict(request.headers), _body(request))
        read_timeout = _read_timeout(timeout)
        if read_timeout is not None and answer.latency_s >= read_timeout:
            message = f"Read timed out. (read timeout={read_timeout})"
            raise requests.ReadTimeout(message, request=request)
        if answer.drop:
            reset = ConnectionResetError(104, "Connection reset by peer")
            broken = ProtocolError("Connection aborted.", reset)
            raise requests.ConnectionError(broken, request=request)
        return self.build_response(request, _raw_response(answer, request.method))


def _body(request: requests.PreparedRequest) -> bytes:
    if request.body is None:
        return b""
    return request.body.encode() if isinstance(request.body, str) else request.body


def _read_timeout(timeout: Any) -> float | None:
    if isinstance(timeout, Timeout):
        return timeout.read_timeout
    return cast("float | None", timeout[1] if isinstance(timeout, tuple) else timeout)


class _Wire:
    """As much of a socket as http.client needs to read an answer from memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, mode: str) -> io.BytesIO:
        del mode
        return io.BytesIO(self._content)


def _raw_response(answer: Answer, method: str | None) -> HTTPResponse:
    wire = WireResponse(cast("socket.socket", _Wire(_on_the_wire(answer))), method=method)
    wire.begin()
    return HTTPResponse(
        body=wire,
        headers=HTTPHeaderDict(wire.msg.items()),
        status=wire.status,
        version=wire.version,
        reason=wire.reason,
        preload_content=False,
        original_response=wire,
        request_method=method,
    )


def _on_the_wire(answer: Answer) -> bytes:
    headers = {**answer.headers, "Content-Length": str(len(answer.body))}
    lines = [f"HTTP/1.1 {answer.status} {reasons.get(answer.status, '')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + answer.sent_body
