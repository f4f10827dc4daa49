"""An incoming request, read as one of the API's four operations."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

OPERATIONS = ("create", "get", "cancel", "test_webhook")

_ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_BOOLEANS = {"true": True, "false": False}
_ROUTES = (
    ("create", "POST", re.compile(r"/v1/deliveries")),
    ("get", "GET", re.compile(r"/v1/deliveries/([^/]+)")),
    ("cancel", "POST", re.compile(r"/v1/deliveries/([^/]+)/cancel")),
    ("test_webhook", "POST", re.compile(r"/v1/webhooks/test")),
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request; `operation` is None for a path the API does not have."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, list[str]]
    operation: str | None = None
    allowed_method: str | None = None
    delivery_id: str = ""

    @property
    def api_key(self) -> str:
        return self.headers.get("x-api-key", "")

    @property
    def idempotency_key(self) -> str | None:
        """The key of a POST; on a GET the header means nothing."""
        return (self.method == "POST" and self.headers.get("idempotency-key")) or None

    @property
    def include_history(self) -> bool:
        return _BOOLEANS.get(self.query.get("includeHistory", ["false"])[-1], False)

    @property
    def query_faults(self) -> list[str]:
        """List what is wrong with the query parameters that the operation has."""
        values = self.query.get("includeHistory", []) if self.operation == "get" else []
        is_wrong = any(value not in _BOOLEANS for value in values)
        return ["includeHistory: must be true or false"] if is_wrong else []

    @property
    def is_json(self) -> bool:
        media_type = self.headers.get("content-type", "").partition(";")[0]
        return media_type.strip().lower() == "application/json"


def read_call(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call:
    """Find the operation behind a request target, served as /v1/… and as /delivery/v1/…."""
    path, _, query = _without_origin(target.partition("#")[0]).partition("?")
    path = path.removeprefix("/delivery")
    operation, allowed_method, delivery_id = _route(path)
    return Call(
        method=method,
        path=path,
        headers={name.lower(): value for name, value in headers.items()},
        body=body,
        query=parse_qs(query, keep_blank_values=True),
        operation=operation,
        allowed_method=allowed_method,
        delivery_id=delivery_id,
    )


def _route(path: str) -> tuple[str | None, str | None, str]:
    for operation, method, pattern in _ROUTES:
        if match := pattern.fullmatch(path):
            return operation, method, unquote(match[1]) if pattern.groups else ""
    return None, None, ""


def _without_origin(target: str) -> str:
    """Return the path of a request target, which a proxy's client writes as a whole URL."""
    origin = _ORIGIN.match(target)
    return target[origin.end() :] if origin else target
