"""Make the next API calls fail on demand."""

import random
import re
import threading
from dataclasses import asdict, dataclass, replace
from typing import Any, cast, get_args, get_type_hints

from kaspi_delivery_django.sandbox.requests import OPERATIONS, Schema, schema_errors
from kaspi_delivery_django.sandbox.responses import Response, error_response

_HEADER_VALUE = re.compile(r"[ -~]{0,255}")
_NEVER_STORED = frozenset({401, 429})
_CODES = {401: "unauthorized", 403: "forbidden", 409: "conflict", 429: "rate_limited"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault of one or more calls.

    `operation` is create, get, cancel or test_webhook, None for any; `times` is the number of
    calls that fail, None for all until cleared; each call fails with `probability`.
    Kaspi processes the call all the same, unless `drop` is "before", or `status` is set and
    `booked` is not. A replay returns the true response, unless `stored` puts the faulty one into
    the idempotency store. `drop` closes the connection instead of responding, before or after
    the call is processed. `truncate` sends half of the body under the full Content-Length;
    `body` replaces it; `latency_s` delays the response.
    """

    operation: str | None = None
    times: int | None = 1
    probability: float = 1.0
    latency_s: float = 0.0
    status: int | None = None
    retry_after: int | str | None = None
    code: str | None = None
    booked: bool = False
    stored: bool = False
    drop: str | None = None
    truncate: bool = False
    body: bytes | None = None

    def __post_init__(self) -> None:
        for is_wrong, message in (
            (self.operation not in {None, *OPERATIONS}, f"operation: one of {OPERATIONS}"),
            (self.times is not None and self.times < 1, "times: at least 1, or None"),
            (not 0 <= self.probability <= 1, "probability: from 0 to 1"),
            (not 0 <= self.latency_s <= threading.TIMEOUT_MAX, "latency_s: not negative, and less than a century"),
            (not _HEADER_VALUE.fullmatch(str(self.retry_after)), "retry_after: printable ASCII"),
            (self.drop not in {None, "before", "after"}, 'drop: "before" or "after"'),
            (self.status not in {None, *range(200, 600)}, "status: 200 to 599"),
            (self.stored and self.status in _NEVER_STORED, "stored: never for 401 and 429"),
            (self.stored and self.drop == "before", 'stored: never with drop "before"'),
        ):
            if is_wrong:
                raise ValueError(message)

    @property
    def is_processed(self) -> bool:
        return self.drop != "before" and (self.status is None or self.booked)

    def replace_response(self, true_response: Response | None) -> Response:
        """Return the faulty response; None is a call that was not processed."""
        response = true_response if true_response is not None and self.status is None else self._error_response()
        return response if self.body is None else replace(response, body=self.body)

    def add_network_faults(self, response: Response) -> Response:
        """Return the response with this fault's latency, drop and truncation."""
        return replace(response, latency_s=self.latency_s, drop=bool(self.drop), truncate=self.truncate)

    def _error_response(self) -> Response:
        status = self.status or 500
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        code = self.code or _CODES.get(status, "internal_error")
        return error_response(status, code, "A fault set on the sandbox.", headers)

    def to_dict(self) -> dict[str, Any]:
        """Serialize the fault for the control endpoint."""
        body = None if self.body is None else self.body.decode(errors="replace")
        return {**asdict(self), "body": body}

    @classmethod
    def from_dict(cls, data: object) -> "Fault":
        """Read a fault of the control endpoint; raises ValueError that names the wrong fields."""
        if errors := schema_errors(data, _SCHEMA, closed=True):
            raise ValueError("; ".join(errors))
        fields = cast("dict[str, Any]", data)
        body = fields.get("body")
        return cls(**{**fields, "body": None if body is None else body.encode()})


_HINTS = {**get_type_hints(Fault), "body": str | None}
_SCHEMA: Schema = {f"{name}?": get_args(hint) or hint for name, hint in _HINTS.items()}


class Faults:
    """A queue of pending faults, first in, first out."""

    def __init__(self, random_source: random.Random) -> None:
        self._random = random_source
        self._pending: list[Fault] = []

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, fault: Fault) -> None:
        """Append a fault."""
        self._pending.append(fault)

    def clear(self) -> None:
        """Remove every pending fault."""
        self._pending.clear()

    def next_for(self, operation: str) -> Fault | None:
        """Return the first fault for this call and count one of its times; None if the call succeeds."""
        for index, fault in enumerate(self._pending):
            if fault.operation in {None, operation} and self._random.random() < fault.probability:
                self._count(index, fault)
                return fault
        return None

    def _count(self, index: int, fault: Fault) -> None:
        if fault.times == 1:
            del self._pending[index]
        elif fault.times is not None:
            self._pending[index] = replace(fault, times=fault.times - 1)
