"""Mount the sandbox on a requests session, without sockets and without waiting."""

import io
from collections.abc import Mapping
from http.client import responses as reasons
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse, Timeout
from urllib3.exceptions import ProtocolError

from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.responses import Response


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
        body = request.body or b""
        content = body.encode() if isinstance(body, str) else body
        response = self._kaspi.handle(request.method or "GET", request.path_url, dict(request.headers), content)
        read_timeout = _read_timeout(timeout)
        if read_timeout is not None and response.latency_s >= read_timeout:
            message = f"Read timed out. (read timeout={read_timeout})"
            raise requests.ReadTimeout(message, request=request)
        if response.drop:
            reset = ConnectionResetError(104, "Connection reset by peer")
            broken = ProtocolError("Connection aborted.", reset)
            raise requests.ConnectionError(broken, request=request)
        return self.build_response(request, _raw_response(response, request.method))


def _read_timeout(timeout: Any) -> float | None:
    if isinstance(timeout, Timeout):
        return timeout.read_timeout
    return cast("float | None", timeout[1] if isinstance(timeout, tuple) else timeout)


def _raw_response(response: Response, method: str | None) -> HTTPResponse:
    """Return the response as urllib3 reads it: in pieces, a body shorter than its Content-Length raises."""
    has_body = response.can_have_body and method != "HEAD"
    return HTTPResponse(
        body=io.BytesIO(response.sent_body if has_body else b""),
        headers={**response.headers, "Content-Length": str(len(response.body))},
        status=response.status,
        version=11,
        reason=reasons.get(response.status, ""),
        preload_content=False,
        enforce_content_length=True,
        request_method=method,
    )
