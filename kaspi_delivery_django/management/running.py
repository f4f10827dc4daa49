"""How commands run: numbers as options, exit codes, signals, and the progress of those that work in batches."""

import signal
import threading
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError

from kaspi_delivery_django.services.deliveries import runners

WRONG_USE = 2
NOT_READ = 3
INTERRUPTED = 130
LARGEST_BATCH = 10_000
LONGEST_DAYS = 36_500
REPORT_EVERY_S = 10.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def whole_number(text: str, *, least: int = 1, most: int) -> int:
    """Read a whole number within these bounds. Raises `ArgumentTypeError` with the bounds."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise ArgumentTypeError(f"must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


@contextmanager
def exit_codes() -> Iterator[None]:
    """End with an exit code of its own for wrong settings, and for a database that cannot be used."""
    try:
        yield
    except ImproperlyConfigured as err:
        raise CommandError(str(err), returncode=WRONG_USE) from err
    except (DatabaseError, InterfaceError) as err:
        what = f"The database cannot be used: {type(err).__name__}. Is it up, and migrated?"
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


row_count = partial(whole_number, most=LARGEST_BATCH)
days = partial(whole_number, most=LONGEST_DAYS)


class BatchCommand(BaseCommand):
    """Sweeps batch by batch; SIGTERM and SIGINT let the batch under way be finished.

    The command sends nothing: the worker sends the calls that become due.

    Exit codes: 0 when all is done, 1 when something failed and needs attention, 130 when it
    was interrupted. A terminal sees one line that counts; a log sees a line every ten seconds.
    """

    batch = 500

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")
        parser.add_argument("--batch", type=row_count, default=self.batch, help=f"rows at a time ({self.batch})")

    def sweep(self, options: dict[str, Any]) -> Iterator[Counter[str]]:
        """Do one batch after the other, and yield the counts of each."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        self._is_stopped, self._printed_at = False, time.monotonic()
        with stopped_by_signals(self._stop), runners.deferred_to_request_end():
            total = self._add_up(options)
        self._close(total, is_dry=options["dry_run"])

    def _add_up(self, options: dict[str, Any]) -> Counter[str]:
        total: Counter[str] = Counter()
        for counts in self.sweep(options):
            total.update(counts)
            self._print_progress(total)
            if self._is_stopped:
                break
        return total

    def _stop(self) -> None:
        self._is_stopped = True

    def _print_progress(self, total: Counter[str]) -> None:
        if self.stdout.isatty():
            self.stdout.write(f"\r{_words(total)}", ending="")
            self.stdout.flush()
        elif time.monotonic() - self._printed_at >= REPORT_EVERY_S:
            self._printed_at = time.monotonic()
            self.stdout.write(_words(total))

    def _close(self, total: Counter[str], *, is_dry: bool) -> None:
        clear = "\r" if self.stdout.isatty() else ""
        self.stdout.write(f"{clear}{'dry run: ' if is_dry else ''}{_words(total)}")
        if self._is_stopped:
            self.stdout.write("interrupted: what is done stays done, run it again for the rest")
            raise SystemExit(INTERRUPTED)
        if total["failed"] and not is_dry:
            raise SystemExit(1)


def _words(total: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in total.items()) or "nothing to do"
