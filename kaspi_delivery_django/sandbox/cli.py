"""The sandbox on the command line."""

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

from kaspi_delivery_django.sandbox import wellknown
from kaspi_delivery_django.sandbox.courier import Courier
from kaspi_delivery_django.sandbox.server import SandboxServer
from kaspi_delivery_django.sandbox.webhooks import FIRST_RETRY_S
from kaspi_delivery_django.sandbox.world import World

PROGRAM = "python -m kaspi_delivery_django.sandbox"
DESCRIPTION = "Run a local Kaspi: its delivery API, a courier and signed webhooks."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox until it is told to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=DESCRIPTION)
    add_arguments(parser)
    try:
        run(vars(parser.parse_args(argv)))
    except OSError as err:
        parser.exit(1, f"The sandbox cannot start: {err}. Try another --port.\n")
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that `run` reads."""
    address = urlsplit(wellknown.BASE_URL)
    parser.add_argument("--host", default=address.hostname)
    parser.add_argument("--port", type=int, default=address.port, help="0 takes a free one")
    parser.add_argument("--pace", type=float, default=5.0, help="seconds between two statuses")
    parser.add_argument("--webhook-url", default=wellknown.WEBHOOK_URL, help="empty: send none")
    parser.add_argument("--api-key", default=wellknown.API_KEY)
    parser.add_argument("--webhook-secret", default=wellknown.WEBHOOK_SECRET)
    retry_help = "seconds before a webhook's second attempt, doubling after it"
    parser.add_argument("--first-retry", type=float, default=FIRST_RETRY_S, help=retry_help)
    strict_help = "require an Idempotency-Key on create and cancel, and Content-Type: application/json"
    parser.add_argument("--strict", action="store_true", help=strict_help)
    parser.add_argument("--quiet", action="store_true", help="no line per request and webhook")


def run(options: Mapping[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM; raises OSError when the address is not free."""
    world = World(
        api_key=options["api_key"],
        webhook_secret=options["webhook_secret"],
        webhook_url=options["webhook_url"] or None,
        first_retry_s=options["first_retry"],
        strict=options["strict"],
    )
    courier = Courier(world, options["pace"])
    if not options["quiet"]:
        _log_to_stdout()
    running = SandboxServer(world, options["host"], options["port"], courier)
    with _stopped_by_signals(), running as server:
        _announce(server)
        while True:
            time.sleep(60)


def _announce(server: SandboxServer) -> None:
    world = server.world
    sys.stdout.write(
        f"Kaspi sandbox   {server.url}\n"
        f"x-api-key       {world.api_key}\n"
        f"webhooks go to  {world.webhook_url or 'nobody'}\n"
    )
    sys.stdout.flush()


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()  # no other one can receive a signal
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
