"""Phones such as `+7 727 111 0000`, as Kaspi takes them.

With the library phonenumbers (extra `phones`) foreign numbers are grouped as in their country, too.
"""

import re
import unicodedata
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

_REGION = "KZ"
_KAZAKH = re.compile(r"(?:(?:\+?7|8)(?=[67])|(?=7(?:[0127]|4[0-9]|5[01]|6[0-4])))([0-9]{3})([0-9]{3})([0-9]{4})")
_PHONE = re.compile(r"\+?[0-9 ()\-]{7,24}")
_MIN_DIGITS = 7


def is_phone(value: object) -> bool:
    """Return whether Kaspi can be sent this: 7 to 24 digits, spaces, brackets and dashes, after an optional plus."""
    return isinstance(value, str) and bool(_PHONE.fullmatch(value)) and sum(map(str.isdigit, value)) >= _MIN_DIGITS


def format_phone(phone: object) -> str:
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
