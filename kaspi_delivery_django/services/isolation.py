"""Contain an error to one row, so that it stops no other; re-raise when the database is unavailable."""

import logging
from collections.abc import Callable
from typing import TypeVar

from kaspi_delivery_django.services import claims, failures
from kaspi_delivery_django.services.transactions import home, is_away, is_data_error, is_transient

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_OF_DRIVERS = (OverflowError, UnicodeError)  # raised before the database is asked: too large for SQLite, no UTF-8
NOT_STORED = "the database cannot store a value of this row"


def each_alone(work: Callable[[], Result], call_pk: int) -> Result | None:
    """Do something with one call; raise only when the database is unavailable."""
    try:
        return work()
    except Exception as err:  # noqa: BLE001  # sorted by what it means
        contain(err, call_pk)
    return None


def contain(err: Exception, call_pk: int, *, token: str = "") -> None:
    """Log what one call met; raise when the database is unavailable.

    A call whose data the database refuses is set aside for staff: it would be refused in every round. `token` is that
    of the claim that the caller holds, if it holds one.
    """
    if not (is_data_error(err) or isinstance(err, _OF_DRIVERS)):
        _log(err, call_pk)
        return
    say_broken(call_pk, err)
    error = f"{NOT_STORED}: {failures.describe(err)}"
    try:
        claims.set_aside(call_pk, error, token=token, using=home())
    except Exception as second:  # noqa: BLE001  # sorted below
        _log(second, call_pk)


def bear(err: Exception, what: str) -> None:
    """Defer what met a deadlock, a lock timeout, or a row's data error; raise when the database is unavailable."""
    if is_away(err) and not is_transient(err):
        raise err
    logger.warning("deferred: %s error=%s", what, failures.describe(err))


def say_broken(call_pk: int, err: Exception) -> None:
    """Leave in the log that our code, or the shop's, broke on a call."""
    logger.error("call broke: call=%r error=%s", call_pk, failures.describe(err))


def _log(err: Exception, call_pk: int) -> None:
    if is_away(err):
        bear(err, f"call={call_pk}")
    else:
        say_broken(call_pk, err)
