"""Faults on demand: what goes wrong with the next API calls, and how often."""

import random
import re
import threading
from dataclasses import asdict, dataclass, replace
from typing import Any, cast, get_args, get_type_hints

from kaspi_delivery_django.sandbox import schema
from kaspi_delivery_django.sandbox.answers import Answer, refusal
from kaspi_delivery_django.sandbox.calls import OPERATIONS

_HEADER_VALUE = re.compile(r"[ -~]{0,255}")
_NEVER_STORED = frozenset({401, 429})
_CODES = {401: "unauthorized", 403: "forbidden", 409: "conflict", 429: "rate_limited"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way a call goes wrong.

    `operation` is create, get, cancel or test_webhook, None for any; `times` is how many calls
    it hits, None for all until cleared; a call escapes it with 1 - `probability`.
    The call takes place as if nothing were wrong, unless `drop` is "before", or `status` is
    set and `booked` is not. Its true answer is what a replay gets, unless `stored` puts the
    faulty one into the idempotency store. `drop` closes the connection instead of answering,
    before or after the call took place. `truncate` cuts the body in the middle under the full
    Content-Length; `body` replaces it; `latency_s` delays whatever is sent.
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
    def takes_place(self) -> bool:
        return self.drop != "before" and (self.status is None or self.booked)

    def disguise(self, truth: Answer | None) -> Answer:
        """Give the answer this fault shows instead of the true one."""
        answer = truth if truth is not None and self.status is None else self._answer()
        return answer if self.body is None else replace(answer, body=self.body)

    def send(self, answer: Answer) -> Answer:
        """Mark what befalls the answer on its way."""
        late = replace(answer, latency_s=self.latency_s)
        return replace(late, drop=bool(self.drop), truncate=self.truncate)

    def _answer(self) -> Answer:
        status = self.status or 500
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        code = self.code or _CODES.get(status, "internal_error")
        return refusal(status, code, "A fault set on the sandbox.", headers)

    def to_dict(self) -> dict[str, Any]:
        """Shape it for the control endpoint."""
        body = None if self.body is None else self.body.decode(errors="replace")
        return {**asdict(self), "body": body}

    @classmethod
    def from_dict(cls, data: object) -> "Fault":
        """Read it from the control endpoint; raises ValueError naming the wrong fields."""
        if wrong := schema.faults(data, _SHAPE, closed=True):
            raise ValueError("; ".join(wrong))
        fields = cast("dict[str, Any]", data)
        body = fields.get("body")
        return cls(**{**fields, "body": None if body is None else body.encode()})


_HINTS = {**get_type_hints(Fault), "body": str | None}
_SHAPE: schema.Shape = {f"{name}?": get_args(hint) or hint for name, hint in _HINTS.items()}


class Faults:
    """The faults that wait, first come first served."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._waiting: list[Fault] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, fault: Fault) -> None:
        """Let the fault wait behind those already there."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """Let everything go well again."""
        self._waiting.clear()

    def take(self, operation: str) -> Fault | None:
        """Return the first fault that hits this call, and use up one of its times."""
        for place, fault in enumerate(self._waiting):
            if fault.operation in {None, operation} and self._dice.random() < fault.probability:
                self._use_up(place, fault)
                return fault
        return None

    def _use_up(self, place: int, fault: Fault) -> None:
        if fault.times == 1:
            del self._waiting[place]
        elif fault.times is not None:
            self._waiting[place] = replace(fault, times=fault.times - 1)
