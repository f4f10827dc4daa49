"""Run the sandbox from the command line."""

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from kaspi_delivery_django.sandbox import defaults
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.server import Courier, SandboxServer
from kaspi_delivery_django.sandbox.webhooks import FIRST_RETRY_S

PROGRAM = "python -m kaspi_delivery_django.sandbox"
DESCRIPTION = "Run a local Kaspi: its delivery API, a courier and signed webhooks."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox until it is stopped; return the exit code."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=DESCRIPTION)
    add_arguments(parser)
    try:
        run(vars(parser.parse_args(argv)))
    except OSError as err:
        parser.exit(1, f"The sandbox cannot start: {err}. Try another --port.\n")
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `run`."""
    address = urlsplit(defaults.BASE_URL)
    parser.add_argument("--host", default=address.hostname)
    parser.add_argument("--port", type=int, default=address.port, help="0 binds a free port")
    parser.add_argument("--pace", type=float, default=5.0, help="seconds between two statuses")
    parser.add_argument("--webhook-url", default=defaults.WEBHOOK_URL, help="empty sends no webhooks")
    parser.add_argument("--api-key", default=defaults.API_KEY)
    parser.add_argument("--webhook-secret", default=defaults.WEBHOOK_SECRET)
    retry_help = "seconds before a webhook's second attempt; doubles with each attempt"
    parser.add_argument("--first-retry", type=float, default=FIRST_RETRY_S, help=retry_help)
    strict_help = "require an Idempotency-Key on create and cancel, and Content-Type: application/json"
    parser.add_argument("--strict", action="store_true", help=strict_help)
    parser.add_argument("--quiet", action="store_true", help="do not log requests and webhooks")


def run(options: Mapping[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM; raises OSError when the address is in use."""
    kaspi = FakeKaspi(
        api_key=options["api_key"],
        webhook_secret=options["webhook_secret"],
        webhook_url=options["webhook_url"] or None,
        first_retry_s=options["first_retry"],
        strict=options["strict"],
    )
    courier = Courier(kaspi, options["pace"])
    if not options["quiet"]:
        _log_to_stdout()
    running = SandboxServer(kaspi, options["host"], options["port"], courier)
    with _stopped_by_signals(), running as server:
        _announce(server)
        while True:
            time.sleep(60)


def _announce(server: SandboxServer) -> None:
    kaspi = server.kaspi
    sys.stdout.write(
        f"Kaspi sandbox   {server.url}\n"
        f"x-api-key       {kaspi.api_key}\n"
        f"webhook URL     {kaspi.webhook_url or '(none)'}\n"
    )
    sys.stdout.flush()


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()  # only the main thread receives signals
    numbers = (signal.SIGINT, signal.SIGTERM) if is_main else ()
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    except KeyboardInterrupt:
        sys.stdout.write("Kaspi sandbox stopped.\n")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _log_to_stdout() -> None:
    logger = logging.getLogger("kaspi_delivery_django.sandbox")
    logger.addHandler(logging.StreamHandler(sys.stdout))
    logger.setLevel(logging.INFO)
    logger.propagate = False
