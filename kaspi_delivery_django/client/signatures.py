"""Kaspi's webhook signatures: hex HMAC-SHA256 over `<timestamp>.<raw body>`.

One page of Kaspi's guide says "over the raw body", both published samples sign timestamp, dot,
body. The samples are the rule; a signature of the other kind is refused with a reason that says so.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence

from kaspi_delivery_django.client.exceptions import WebhookRejected

TOLERANCE_S = 300
_TIMESTAMP = re.compile(r"[0-9]{10}")
_SIGNATURE = re.compile(r"[0-9a-fA-F]{64}")


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the lower-case hex signature of a body at a timestamp (Unix seconds, as text)."""
    return _mac(secret, timestamp.encode() + b"." + body).hex()


def check_form(timestamp: str, signature: str) -> None:
    """Raise `WebhookRejected` unless both headers have exactly the form Kaspi sends."""
    if not _TIMESTAMP.fullmatch(timestamp):
        raise WebhookRejected("timestamp is not ten digits" if timestamp else "no timestamp")
    if not _SIGNATURE.fullmatch(signature):
        raise WebhookRejected("signature is not 64 hex digits" if signature else "no signature")


def verify(body: bytes, *, timestamp: str, signature: str, secrets: Sequence[str], now: float) -> None:
    """Return when the body is signed with one of the secrets within ±300 s of `now`.

    `now` is in Unix seconds. Raises `WebhookRejected` otherwise. Every secret is tried in constant
    time, without an early exit.
    """
    check_form(timestamp, signature)
    if abs(int(timestamp) - int(now)) > TOLERANCE_S:
        raise WebhookRejected("timestamp is more than 300 s away from our clock")
    given = bytes.fromhex(signature)
    message = timestamp.encode() + b"." + body
    if not _any_matches(given, message, secrets):
        if _any_matches(given, body, secrets):
            raise WebhookRejected("signed over the body alone, without the timestamp")
        raise WebhookRejected("signature does not match")


def _mac(secret: str, message: bytes) -> bytes:
    return hmac.digest(secret.encode(), message, hashlib.sha256)


def _any_matches(given: bytes, message: bytes, secrets: Sequence[str]) -> bool:
    matches = [hmac.compare_digest(_mac(secret, message), given) for secret in secrets]
    return any(matches)
