"""What the sandbox answers, and how the answer fares on its way."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; the last three fields are for the transport to act out."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    latency_s: float = 0.0
    drop: bool = False
    truncate: bool = False

    @property
    def sent_body(self) -> bytes:
        """The bytes that leave: half of the body when it is cut, else all of it."""
        return self.body[: len(self.body) // 2] if self.truncate else self.body


def json_answer(status: int, payload: object) -> Answer:
    """Answer with a JSON document."""
    body = json.dumps(payload, ensure_ascii=False).encode()
    return Answer(status, {"Content-Type": "application/json"}, body)


def refusal(status: int, code: str, message: str, headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
    """Answer with Kaspi's error body."""
    answer = json_answer(status, {"code": code, "message": message})
    return Answer(status, {**answer.headers, **headers}, answer.body)


def invalid(wrong: Sequence[str]) -> Answer:
    """Answer 400 with everything that is wrong, by field path."""
    return refusal(400, "validation_failed", "; ".join(wrong))
