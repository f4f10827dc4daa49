"""Mount the sandbox on a requests session, without sockets and without waiting."""

import io
from collections.abc import Mapping
from http.client import HTTPResponse as ParsedResponse
from http.client import responses as reasons
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse, Timeout
from urllib3.exceptions import ProtocolError

from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.responses import Response

if TYPE_CHECKING:
    import socket


class SandboxAdapter(HTTPAdapter):
    """A transport adapter that gets responses from a `FakeKaspi`, with its network errors.

    A latency of at least the read timeout raises ReadTimeout at once, a shorter one is ignored;
    a dropped connection raises ConnectionError.
    """

    def __init__(self, kaspi: FakeKaspi) -> None:
        super().__init__()
        self._kaspi = kaspi

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
        response = self._kaspi.handle(request.method or "GET", request.path_url, dict(request.headers), _body(request))
        read_timeout = _read_timeout(timeout)
        if read_timeout is not None and response.latency_s >= read_timeout:
            message = f"Read timed out. (read timeout={read_timeout})"
            raise requests.ReadTimeout(message, request=request)
        if response.drop:
            reset = ConnectionResetError(104, "Connection reset by peer")
            broken = ProtocolError("Connection aborted.", reset)
            raise requests.ConnectionError(broken, request=request)
        return self.build_response(request, _raw_response(response, request.method))


def _body(request: requests.PreparedRequest) -> bytes:
    if request.body is None:
        return b""
    return request.body.encode() if isinstance(request.body, str) else request.body


def _read_timeout(timeout: Any) -> float | None:
    if isinstance(timeout, Timeout):
        return timeout.read_timeout
    return cast("float | None", timeout[1] if isinstance(timeout, tuple) else timeout)


class _MemorySocket:
    """The part of a socket that http.client needs to read a response from memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, mode: str) -> io.BytesIO:
        del mode
        return io.BytesIO(self._content)


def _raw_response(response: Response, method: str | None) -> HTTPResponse:
    parsed = ParsedResponse(cast("socket.socket", _MemorySocket(_encode(response))), method=method)
    parsed.begin()
    return HTTPResponse(
        body=parsed,
        headers=HTTPHeaderDict(parsed.msg.items()),
        status=parsed.status,
        version=parsed.version,
        reason=parsed.reason,
        preload_content=False,
        original_response=parsed,
        request_method=method,
    )


def _encode(response: Response) -> bytes:
    headers = {**response.headers, "Content-Length": str(len(response.body))}
    lines = [f"HTTP/1.1 {response.status} {reasons.get(response.status, '')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.sent_body
