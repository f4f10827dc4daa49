"""Texts as Kaspi and databases take them: phones such as `+7 727 111 0000`, base URLs, JSON payloads.

With the library phonenumbers (extra `phones`) foreign numbers are grouped as in their country, too.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from ipaddress import IPv6Address
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

PRODUCTION_URL = "https://api.kaspi.kz/delivery"
SANDBOX_URL = "https://sandbox.kaspi.kz/delivery"
LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}
_PLAIN_URL = re.compile(r"[A-Za-z0-9._~:/%\[\]-]+")
_PLACE = re.compile(r"([A-Za-z0-9_]([A-Za-z0-9_-]|\.(?!\.))*|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")
_REGION = "KZ"
_KAZAKH = re.compile(r"(?:(?:\+?7|8)(?=[67])|(?=7(?:[0127]|4[0-9]|5[01]|6[0-4])))([0-9]{3})([0-9]{3})([0-9]{4})")
_PHONE = re.compile(r"\+?[0-9 ()\-]{7,24}")
_MIN_DIGITS = 7
_LAST_OF_THREE_BYTES = 0xFFFF


def base_url_problem(base_url: str) -> str:
    """Return why requests cannot be sent to this address; empty for https, and for http on this machine."""
    try:
        parts = urlsplit(base_url)
        host, _port = parts.hostname, parts.port
        if parts.netloc.startswith("["):
            IPv6Address(host)
    except ValueError:
        return "the base URL cannot be read as an address"
    local = parts.scheme == "http" and host in LOCAL_HOSTS
    if not (host and (parts.scheme == "https" or local)):
        return "the base URL must start with https:// (http:// only for localhost)"
    if not (_PLAIN_URL.fullmatch(base_url) and _PLACE.fullmatch(parts.netloc)):
        return "the base URL must be a plain address, without user, query or fragment"
    return ""


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


def is_phone(value: object) -> bool:
    """Return whether Kaspi can be sent this: 7 to 24 digits, spaces, brackets and dashes, after an optional plus."""
    return isinstance(value, str) and bool(_PHONE.fullmatch(value)) and sum(map(str.isdigit, value)) >= _MIN_DIGITS


def normalized_phone(phone: object) -> str:
    """Return a Kazakh phone as `+7 701 111 1111`, and anything else as text; empty for what cannot be a number."""
    text = _clean(_as_text(phone))
    if kazakh := _KAZAKH.fullmatch(re.sub(r"[ ().\-]", "", text)):
        return " ".join(("+7", *kazakh.groups()))
    return _grouped(text) or text


def _as_text(phone: object) -> str:
    if isinstance(phone, str):
        return phone
    number: Any = phone
    if getattr(number, "country_code", None) and getattr(number, "national_number", None):
        zeros = "0" * (getattr(number, "number_of_leading_zeros", None) or 1) if number.italian_leading_zero else ""
        extension = f" ext. {number.extension}" if number.extension else ""
        return f"+{number.country_code}{zeros}{number.national_number}{extension}"
    if written := getattr(number, "raw_input", None):  # one that could not be read keeps what was typed
        return str(written)
    return ""


def _clean(text: str) -> str:
    """Write spaces, dashes, and digits of any script in ASCII, and leave out invisible signs."""
    return " ".join("".join(map(_plain, unicodedata.normalize("NFKC", text))).split())


def _plain(sign: str) -> str:
    category = unicodedata.category(sign)
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    return {"Zs": " ", "Pd": "-", "Cf": ""}.get(category, "-" if sign == "\N{MINUS SIGN}" else sign)


@lru_cache(maxsize=1)
def _library() -> ModuleType | None:
    try:
        return import_module("phonenumbers")
    except ImportError:
        return None


def _grouped(text: str) -> str:
    """Return an international number grouped as in its country; empty without the library, or for other texts."""
    library: Any = _library()
    if library is None or not text.startswith("+"):
        return ""
    try:
        number = library.parse(text, _REGION)
    except library.NumberParseException:
        return ""
    if number.extension or not library.is_possible_number(number):
        return ""
    return str(library.format_number(number, library.PhoneNumberFormat.INTERNATIONAL))
