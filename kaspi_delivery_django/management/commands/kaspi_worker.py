"""Send what is due to Kaspi, and do what else waits: `manage.py kaspi_worker`."""

from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from kaspi_delivery_django.management.quantities import whole_number
from kaspi_delivery_django.management.stopping import stopped_by_signals
from kaspi_delivery_django.services.gateway import MOST_THREADS
from kaspi_delivery_django.services.worker import Worker

GREATEST_PORT = 65_535
THREADS = 8
LOOPBACK = "127.0.0.1"
WITHOUT_EXTRA = "--metrics-port needs prometheus-client: pip install 'kaspi-delivery-django[prometheus]'"

Serve = Callable[[int, str], AbstractContextManager[int]]


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT, and then finishes what is under way; `--once` for cron."""

    help = "Send what is due to Kaspi, ask about silent deliveries, repeat what failed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how many threads send, and --once, or where to serve metrics."""
        threads = partial(whole_number, most=MOST_THREADS)
        parser.add_argument(
            "--threads",
            type=threads,
            default=THREADS,
            metavar="N",
            help=f"calls that are sent at once, 1 to {MOST_THREADS} ({THREADS})",
        )
        either = parser.add_mutually_exclusive_group()
        either.add_argument("--once", action="store_true", help="do what is due now, then exit")
        port = partial(whole_number, least=0, most=GREATEST_PORT)
        either.add_argument(
            "--metrics-port", type=port, metavar="N", help="serve Prometheus metrics on this port (0 for any)"
        )
        parser.add_argument("--metrics-address", default=LOOPBACK, help=f"serve them on this address ({LOOPBACK})")

    def handle(self, *args: Any, **options: Any) -> None:
        """Work, and say what is done."""
        worker = Worker(say=self._say, threads=options["threads"])
        with stopped_by_signals(worker.stop), ExitStack() as until_stopped:
            if options["once"]:
                worker.run_until_idle()
                return
            if options["metrics_port"] is not None:
                self._serve_metrics(until_stopped, options["metrics_port"], options["metrics_address"])
            self._say("kaspi_worker is ready")
            worker.run()
        self._say("kaspi_worker has stopped")

    def _serve_metrics(self, until_stopped: ExitStack, port: int, address: str) -> None:
        serve = _server()
        try:
            bound = until_stopped.enter_context(serve(port, address))
        except OSError as err:
            raise CommandError(f"No metrics on port {port} of {address}: {err}. Try another port.") from err
        self._say(f"metrics on port {bound} of {address}")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _server() -> Serve:
    """Return what serves metrics, loaded only now: it imports an optional package."""
    try:
        serve: Serve = import_string("kaspi_delivery_django.contrib.prometheus.serve")
    except ModuleNotFoundError as err:
        if err.name != "prometheus_client":
            raise
        raise CommandError(WITHOUT_EXTRA, returncode=2) from err
    return serve
