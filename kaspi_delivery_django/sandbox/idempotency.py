"""Kaspi's memory of idempotency keys: a replay for the same payload, a conflict for another."""

from dataclasses import replace
from typing import NamedTuple

from kaspi_delivery_django.sandbox.answers import Answer, refusal
from kaspi_delivery_django.sandbox.calls import Call

KEY_LIFETIME_S = 24 * 60 * 60


class _Kept(NamedTuple):
    request: tuple[str, bytes]
    answer: Answer
    kept_at: float


class IdempotencyStore:
    """Answers by API key and idempotency key, forgotten after 24 hours."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str | None], _Kept] = {}

    def keep(self, call: Call, answer: Answer, now: float) -> None:
        """Remember the answer; a key that is still alive keeps the age of its first use."""
        identity, request = (call.api_key, call.idempotency_key), (call.path, call.body)
        before = self._alive(identity, now)
        if before is None:
            self._kept[identity] = _Kept(request, answer, now)
        elif before.request == request:
            self._kept[identity] = before._replace(answer=answer)

    def recall(self, call: Call, now: float) -> Answer | None:
        """Return the replay or the conflict a known key earns, None for a new key."""
        kept = self._alive((call.api_key, call.idempotency_key), now)
        if kept is None:
            return None
        if kept.request != (call.path, call.body):
            message = "This Idempotency-Key was already used with another payload."
            return refusal(409, "conflict", message)
        headers = {**kept.answer.headers, "X-Idempotent-Replay": "true"}
        return replace(kept.answer, headers=headers)

    def _alive(self, identity: tuple[str, str | None], now: float) -> _Kept | None:
        kept = self._kept.get(identity)
        if kept is None or now - kept.kept_at >= KEY_LIFETIME_S:
            return None
        return kept
