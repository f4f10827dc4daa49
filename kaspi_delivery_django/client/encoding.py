"""JSON payloads as they are sent and stored, and text for tables of older character sets."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_LAST_OF_THREE_BYTES = 0xFFFF


def dump(document: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """Return the JSON text that is sent: compact, UTF-8, keys in their given order.

    With `ascii_only` other letters are escaped, so that a table of any character set holds the text.
    """
    return json.dumps(document, ensure_ascii=ascii_only, separators=(",", ":"))


def without_astral(text: str) -> str:
    """Replace each character of more than three bytes in UTF-8, such as an emoji."""
    return "".join("\N{REPLACEMENT CHARACTER}" if ord(sign) > _LAST_OF_THREE_BYTES else sign for sign in text)


def in_ascii(text: str) -> str:
    """Escape every letter that is not ASCII, as Python does."""
    return text.encode("ascii", "backslashreplace").decode()


def digest(payload: str) -> str:
    """Return the SHA-256 of a payload, in hex."""
    return hashlib.sha256(payload.encode()).hexdigest()
