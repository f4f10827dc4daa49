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
    """The shop's adapter raised; the text says what and where, and carries no customer's data."""


def describe(err: BaseException) -> str:
    """Return the exception's type and the line that raised it; our own texts are safe to add."""
    frames = traceback.extract_tb(err.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return one_line(err if isinstance(err, UsageError) else f"{type(err).__name__}{place}")


def one_line(value: object) -> str:
    """Return a value's text for a log line: no key of an order, and no name of a file, begins a line of its own."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(value))


@contextmanager
def project_locale() -> Iterator[None]:
    """Activate the project's LANGUAGE_CODE and TIME_ZONE, whoever's request or thread this is; restore both after it.

    An order is read inside of it too: translated models remember the language that they were read in.
    """
    with translation.override(settings.LANGUAGE_CODE), timezone.override(None):
        yield


def call_adapter(question: Callable[Params, Result], /, *args: Params.args, **kwargs: Params.kwargs) -> Result:
    """Ask the shop's adapter, in the project's language and time zone. Whatever it raises becomes `AdapterFailed`."""
    try:
        with project_locale():
            return question(*args, **kwargs)
    except Exception as err:
        raise AdapterFailed(describe(err)) from err


def call_adapter_predicate(question: Callable[Params, object], /, *args: Params.args, **kwargs: Params.kwargs) -> bool:
    """Ask the shop's adapter for a yes or a no; an answer that is only evaluated now, as a queryset is, counts too."""
    return call_adapter(lambda: bool(question(*args, **kwargs)))
