"""Say what failed in code that is not ours, without repeating the data it failed on."""

import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

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


def ask(question: Callable[Params, Result], /, *args: Params.args, **kwargs: Params.kwargs) -> Result:
    """Ask the shop's adapter. Whatever it raises becomes `AdapterFailed`."""
    try:
        return question(*args, **kwargs)
    except Exception as err:
        raise AdapterFailed(describe(err)) from err
