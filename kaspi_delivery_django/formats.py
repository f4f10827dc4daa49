"""How durations, times and numbers are written in the reader's language."""

from datetime import date, datetime, timedelta

from django.utils import numberformat
from django.utils.formats import date_format, get_format_modules, number_format
from django.utils.timezone import is_aware, localtime
from django.utils.translation import get_language, gettext_lazy

from kaspi_delivery_django.locale.kk import formats as kazakh

DAY_AND_TIME = "j E, H:i"
_UNITS = (  # from how many seconds on each is used, and how many it has; hours go up to two days: a day is too coarse
    (172_800, 86_400, gettext_lazy("%(count)s d")),
    (3600, 3600, gettext_lazy("%(count)s h")),
    (60, 60, gettext_lazy("%(count)s min")),
    (0, 1, gettext_lazy("%(count)s s")),
)


def duration_label(time: timedelta) -> str:
    """Return a duration in one unit: "45 s", "45 min", "3 h", "2 d"; a negative one as "0 s"."""
    seconds = max(0, int(time.total_seconds()))
    _least, size, label = _UNITS[_greatest_unit(seconds)]
    return str(label % {"count": seconds // size})


def exact_duration_label(time: timedelta) -> str:
    """Return a duration in its two greatest units, rounded: "20 s", "12 min 5 s", "30 h 5 min", "3 d"."""
    rest = max(0, round(time.total_seconds()))
    units = _UNITS[_greatest_unit(rest) :][:2]
    rest = round(rest / units[-1][1]) * units[-1][1]
    counted = list[str]()
    for _least, size, label in units:
        count, rest = divmod(rest, size)
        if count or not (counted or rest):
            counted.append(str(label % {"count": count}))
    return " ".join(counted)


def _greatest_unit(seconds: int) -> int:
    return next(number for number, (least, _size, _label) in enumerate(_UNITS) if seconds >= least)


def lacks_formats() -> bool:
    """Return whether the active language is Kazakh and neither Django nor the project has formats for it."""
    return _language() == "kk" and not get_format_modules()


def time_label(at: date, form: str = "SHORT_DATETIME_FORMAT") -> str:
    """Return a day, or a time in the active time zone, as the active language writes it.

    `form` is the name of one of Django's formats, or a format. Russian and Kazakh months have no capital in a date.
    """
    own = getattr(kazakh, form, form) if lacks_formats() else form
    text = date_format(localtime(at) if isinstance(at, datetime) and is_aware(at) else at, own)
    return text.lower() if _language() in {"kk", "ru"} else text


def number_label(number: int) -> str:
    """Return a number with its thousands grouped as the active language groups them."""
    if not lacks_formats():
        return number_format(number, force_grouping=True)
    separators = (kazakh.DECIMAL_SEPARATOR, None, kazakh.NUMBER_GROUPING, kazakh.THOUSAND_SEPARATOR)
    return numberformat.format(number, *separators, force_grouping=True)


def isolated(text: str) -> str:
    """Keep a text's writing direction to itself, inside a sentence that is no markup."""
    return f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"


def _language() -> str:
    return (get_language() or "").partition("-")[0]
