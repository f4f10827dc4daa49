"""Commands that sweep batch by batch, and print how far they are."""

import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand

from kaspi_delivery_django.management.argtypes import row_count
from kaspi_delivery_django.management.exits import INTERRUPTED, stopped_by_signals
from kaspi_delivery_django.services.deliveries import runners

REPORT_EVERY_S = 10.0


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
