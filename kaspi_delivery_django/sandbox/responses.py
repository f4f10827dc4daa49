"""Responses of the sandbox, and the network faults that the transport adds to them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Response:
    """One HTTP response; the transport acts out the last three fields."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    latency_s: float = 0.0
    drop: bool = False
    truncate: bool = False

    @property
    def can_have_body(self) -> bool:
        """Whether HTTP allows a body after this status."""
        return self.status not in {204, 304}

    @property
    def sent_body(self) -> bytes:
        """The bytes that are sent: half of the body if it is truncated, else all of it."""
        return self.body[: len(self.body) // 2] if self.truncate else self.body


def json_response(status: int, payload: object) -> Response:
    """Build a response with a JSON document."""
    body = json.dumps(payload, ensure_ascii=False).encode()
    return Response(status, {"Content-Type": "application/json"}, body)


def error_response(status: int, code: str, message: str, headers: Mapping[str, str] = MappingProxyType({})) -> Response:
    """Build a response with Kaspi's error body."""
    response = json_response(status, {"code": code, "message": message})
    return Response(status, {**response.headers, **headers}, response.body)


def validation_error(errors: Sequence[str]) -> Response:
    """Build a 400 that lists every error by its field path."""
    return error_response(400, "validation_failed", "; ".join(errors))
