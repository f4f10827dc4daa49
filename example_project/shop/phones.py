"""Kazakhstan's phone numbers, written one way: `+7 701 234 5678`."""

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

HINT = _("Write a phone number in Kazakhstan, such as +7 701 234 5678.")
_CHARACTERS = re.compile(r"\+?[0-9 ()\-.]+")
_NATIONAL = re.compile(r"[78]?([67][0-9]{2})([0-9]{3})([0-9]{4})")


def normalise(text: str) -> str:
    """Return the number in its one form; raises `ValidationError` for anything else."""
    found = _NATIONAL.fullmatch(re.sub(r"[^0-9]", "", text))
    if not _CHARACTERS.fullmatch(text) or not found:
        raise ValidationError(HINT, code="phone")
    return " ".join(["+7", *found.groups()])


def validate(text: str) -> None:
    """Raise `ValidationError` unless the number is in its one form."""
    if normalise(text) != text:
        raise ValidationError(HINT, code="phone")
