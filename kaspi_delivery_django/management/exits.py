"""How commands end: exit codes, and signals."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DatabaseError, InterfaceError

WRONG_USE = 2
NOT_READ = 3
INTERRUPTED = 130
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def exit_codes() -> Iterator[None]:
    """End with an exit code of its own for wrong settings, and for a database that cannot be used."""
    try:
        yield
    except ImproperlyConfigured as err:
        raise CommandError(str(err), returncode=WRONG_USE) from err
    except (DatabaseError, InterfaceError) as err:
        what = f"The database cannot be used: {type(err).__name__}. Check DATABASES, and run migrate."
        raise CommandError(what, returncode=NOT_READ) from err


@contextmanager
def stopped_by_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` at a signal. Only the main thread can receive one: a command in another thread runs without."""
    is_main = threading.current_thread() is threading.main_thread()
    numbers = SIGNALS if is_main else ()
    before = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: it was not set by Python
