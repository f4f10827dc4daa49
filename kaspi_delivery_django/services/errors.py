"""Call the shop's adapter in the project's locale, and describe exceptions without personal data."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.utils import timezone, translation

from kaspi_delivery_django.client.exceptions import UsageError

Params = ParamSpec("Params")
Result = TypeVar("Result")


class AdapterFailed(Exception):
    """The shop's adapter raised. The text has the exception's type and line, and no customer's data."""


def describe(err: BaseException) -> str:
    """Return the exception's type and the module and line that raised it: staff see no path of the server.

    Of our own exceptions it is the text, which is safe: that is how an adapter speaks to staff.
    """
    frames = list(traceback.walk_tb(err.__traceback__))
    place = "".join(f" at {frame.f_globals.get('__name__')}:{line}" for frame, line in frames[-1:])
    return one_line(err if isinstance(err, UsageError | AdapterFailed) else f"{type(err).__name__}{place}")


def one_line(value: object) -> str:
    """Return a value's text with control characters escaped, so that it cannot forge a log line."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(value))


@contextmanager
def project_locale() -> Iterator[None]:
    """Activate the project's LANGUAGE_CODE and TIME_ZONE, whatever the request's; restore both afterwards.

    Orders are read inside it, too: translated models remember the language that they were read in.
    """
    with translation.override(settings.LANGUAGE_CODE), timezone.override(None):
        yield


def call_adapter(method: Callable[Params, Result], /, *args: Params.args, **kwargs: Params.kwargs) -> Result:
    """Call the shop's adapter in the project's locale. Raises `AdapterFailed` for any exception."""
    try:
        with project_locale():
            return method(*args, **kwargs)
    except Exception as err:
        raise AdapterFailed(describe(err)) from err


def call_adapter_predicate(method: Callable[Params, object], /, *args: Params.args, **kwargs: Params.kwargs) -> bool:
    """Call the shop's adapter for a bool. A lazy answer, such as a queryset, is evaluated inside the locale."""
    return call_adapter(lambda: bool(method(*args, **kwargs)))
