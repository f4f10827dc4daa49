"""Send due calls to Kaspi and run the maintenance tasks: `manage.py kaspi_worker`."""

from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError
from django.utils.module_loading import import_string

from kaspi_delivery_django.management.argtypes import whole_number
from kaspi_delivery_django.management.exits import WRONG_USE, stopped_by_signals
from kaspi_delivery_django.services import db
from kaspi_delivery_django.services.outbox import circuit_breaker
from kaspi_delivery_django.services.outbox.sender import MAX_THREADS
from kaspi_delivery_django.services.outbox.worker import Worker

GREATEST_PORT = 65_535
THREADS = 8
BY = "kaspi_worker --hold"
LOOPBACK = "127.0.0.1"
WITHOUT_EXTRA = "--metrics-port needs prometheus-client: pip install 'kaspi-delivery-django[prometheus]'"

Serve = Callable[[int, str], AbstractContextManager[int]]


class Command(BaseCommand):
    """Run until SIGTERM or SIGINT, then finish the calls under way; `--once` for cron."""

    help = "Send due calls to Kaspi, refresh stale deliveries, retry failed calls."

    def add_arguments(self, parser: ArgumentParser) -> None:
        threads = partial(whole_number, most=MAX_THREADS)
        parser.add_argument(
            "--threads",
            type=threads,
            default=THREADS,
            metavar="N",
            help=f"calls that are sent at once, 1 to {MAX_THREADS} ({THREADS})",
        )
        either = parser.add_mutually_exclusive_group()
        either.add_argument("--once", action="store_true", help="process what is due now, then exit")
        words = "hold all requests to Kaspi, by any runner, until --release; then exit (after restoring a backup)"
        either.add_argument("--hold", action="store_true", help=words)
        either.add_argument("--release", action="store_true", help="let requests to Kaspi go again; then exit")
        port = partial(whole_number, least=0, most=GREATEST_PORT)
        either.add_argument(
            "--metrics-port", type=port, metavar="N", help="serve Prometheus metrics on this port (0 for any)"
        )
        parser.add_argument("--metrics-address", default=LOOPBACK, help=f"serve them on this address ({LOOPBACK})")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["hold"] or options["release"]:
            _check_tables()
            self._switch(hold=options["hold"])
            return
        worker = Worker(log=self._print, threads=options["threads"])
        with stopped_by_signals(worker.stop), ExitStack() as until_stopped:
            if options["once"]:
                _check_tables()
                worker.run_until_idle()
                self._end(worker)
                return
            if options["metrics_port"] is not None:
                self._serve_metrics(until_stopped, options["metrics_port"], options["metrics_address"])
            _check_tables()
            self._print("kaspi_worker is ready")
            worker.run()
        self._print("kaspi_worker has stopped")
        self._end(worker)

    def _switch(self, *, hold: bool) -> None:
        if hold:
            circuit_breaker.hold_sending(by=BY)
            self._print("All sending is held. Release it with: manage.py kaspi_worker --release")
        else:
            self._print("Sending is released." if circuit_breaker.release_sending() else "Sending was not held.")

    def _end(self, worker: Worker) -> None:
        """Exit with 1 when some chore failed the last time it was tried."""
        if worker.trouble:
            raise CommandError(f"The worker fails at {worker.trouble}")

    def _serve_metrics(self, until_stopped: ExitStack, port: int, address: str) -> None:
        serve = _server()
        try:
            bound = until_stopped.enter_context(serve(port, address))
        except OSError as err:
            raise CommandError(f"No metrics on port {port} of {address}: {err}. Try another port.") from err
        self._print(f"metrics on port {bound} of {address}")

    def _print(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _check_tables() -> None:
    """End at once where there is nothing to work with; a database that is away is waited for."""
    try:
        lacking = db.missing_tables()
    except (OperationalError, InterfaceError):
        return
    if lacking:
        raise CommandError(db.missing_tables_advice(lacking))


def _server() -> Serve:
    """Return what serves metrics, loaded only now: it imports an optional package."""
    try:
        serve: Serve = import_string("kaspi_delivery_django.contrib.prometheus.serve")
    except ModuleNotFoundError as err:
        if err.name != "prometheus_client":
            raise
        raise CommandError(WITHOUT_EXTRA, returncode=WRONG_USE) from err
    return serve
