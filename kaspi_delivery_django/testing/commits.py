"""What happens after a commit, also in a test case whose transaction is never committed."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction
from django.test import TestCase

from kaspi_delivery_django.services.transactions import home


@contextmanager
def committed() -> Iterator[None]:
    """Run at the end what was to run after a commit in here: the package's signals, and the shop's own work.

    Inside a `TestCase` Django only writes it down. What ran here is struck off that list, so that a
    `captureOnCommitCallbacks` around the whole does not run it a second time.
    """
    using = home()
    already = len(connections[using].run_on_commit)
    try:
        with TestCase.captureOnCommitCallbacks(using=using, execute=True):
            yield
    finally:
        del connections[using].run_on_commit[already:]


def check_outermost() -> None:
    """Raise `RuntimeError` inside of a transaction of the test's own: there the package sends nothing."""
    try:
        with transaction.atomic(using=home(), durable=True):
            pass
    except RuntimeError as err:
        raise RuntimeError("Nothing is sent inside of a transaction: leave transaction.atomic() first.") from err
