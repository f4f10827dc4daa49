"""Search keys: what staff type, and what a delivery is found by, in one form whose beginning an index finds."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import dropwhile
from string import digits

from django.db.models import Q

KEY_LENGTH = 64
PHONE_TAIL_DIGITS = 10
LAST = "\U0010ffff"  # sorts after every letter
_WORD = re.compile(r"[^\W_]+")


def phone_tail(phone: str) -> str:
    """Return the last ten digits of a phone, reversed: an index finds texts by how they begin."""
    return "".join(sign for sign in reversed(phone) if sign in digits)[:PHONE_TAIL_DIGITS]


def words_of(text: str) -> list[str]:
    """Return the words and numbers of a text, without case, accents or the signs between them."""
    bare = "".join(sign for sign in unicodedata.normalize("NFD", text) if not unicodedata.combining(sign))
    return _WORD.findall(bare.casefold())


# Words of an address that are no city, in the languages that addresses of Kazakhstan are written in.
_BEFORE_CITY = frozenset(words_of("г гор город city қ қала қаласы kazakhstan казахстан қазақстан рк rk"))  # noqa: RUF001  # Cyrillic
_NO_CITY = frozenset(
    words_of(
        """ул улица пр просп проспект мкр мкрн микрорайон шоссе пер переулок дом кв обл область район
        көшесі даңғылы ықшамауданы облысы ауданы street st str avenue ave road rd microdistrict district region"""
    )
)


def number_key(text: str) -> str:
    """Return an id's or a label's key: without the words before its number, which all orders of a shop share.

    "Order #2026-00006", "2026-00006" and "ORDER 2026/00006" have the same key.
    """
    words = words_of(text)
    start = next((place for place, word in enumerate(words) if has_digit(word)), 0)
    return _key(words[start:])


def words_key(text: str) -> str:
    """Return the key of a name, or of what is searched for."""
    return _key(words_of(text))


def second_words_key(text: str) -> str:
    """Return the key of a name that begins with its second word; empty for one word."""
    first, *others = words_of(text) or [""]
    return _key([*others, first]) if others else ""


def city_key(address: str) -> str:
    """Return the key of an address's city: the first part without a number or a street, else the whole address."""
    parts = [_without_prefix(words_of(part)) for part in address.split(",")]
    cities = (part for part in parts if part and not _NO_CITY & set(part) and not any(map(has_digit, part)))
    return _key(next(cities, _without_prefix(words_of(address))))


def has_digit(word: str) -> bool:
    """Return whether there is a digit in a word."""
    return any(sign.isdigit() for sign in word)


def beginning(columns: Iterable[str], key: str, *, whole_words: bool) -> Q:
    """Return the condition that one of these columns begins with the key: a range, which every index answers."""
    found, last = Q(), f"{key} {LAST}" if whole_words else f"{key}{LAST}"
    for column in columns if key else ():
        found |= Q(**{f"{column}__gte": key, f"{column}__lte": last})
    return found


def _key(words: Iterable[str]) -> str:
    return " ".join(words)[:KEY_LENGTH].rstrip()


def _without_prefix(words: list[str]) -> list[str]:
    return list(dropwhile(_BEFORE_CITY.__contains__, words))
