"""One row's trouble is its own: what breaks on it stops no other; a database that is away is everybody's."""

import logging
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError

from kaspi_delivery_django.services import failures
from kaspi_delivery_django.services.transactions import is_transient

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def each_alone(work: Callable[[], Result], call_pk: int) -> Result | None:
    """Do something with one call. What breaks there stops no other; a database that is away is for the caller."""
    try:
        return work()
    except (OperationalError, InterfaceError) as err:
        bear(err, f"call={call_pk}")
    except Exception as err:  # noqa: BLE001  # one bad row must not stop the others
        say_broken(call_pk, err)
    return None


def bear(err: OperationalError | InterfaceError, what: str) -> None:
    """Leave what met a deadlock or a lock timeout to a later round; a database that is away ends this one."""
    if not is_transient(err):
        raise err
    logger.warning("deferred: %s error=%s", what, failures.describe(err))


def say_broken(call_pk: int, err: Exception) -> None:
    """Leave in the log that our code, or the shop's, broke on a call."""
    logger.error("call broke: call=%r error=%s", call_pk, failures.describe(err))
