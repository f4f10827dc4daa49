"""Run the sandbox from the command line."""

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kaspi_delivery_django.sandbox import cassettes, defaults
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.replay import RecordingKaspi, ReplayedKaspi
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
    except cassettes.CassetteError as err:
        parser.exit(1, f"{err}\n")
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
    story = parser.add_mutually_exclusive_group()
    story.add_argument(
        "--record", type=Path, metavar="FILE", help="write requests and webhooks to a cassette at the end"
    )
    story.add_argument("--replay", type=Path, metavar="FILE", help="answer as a cassette does, instead of as Kaspi")
    parser.add_argument("--quiet", action="store_true", help="do not log requests and webhooks")


def run(options: Mapping[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises `OSError` when the address is in use, and `CassetteError` when a cassette cannot be read or written.
    """
    kaspi = _kaspi(options)
    courier = None if options["replay"] else Courier(kaspi, options["pace"])
    with _logging_to_stdout(logging.ERROR if options["quiet"] else logging.INFO):
        _serve(SandboxServer(kaspi, options["host"], options["port"], courier))
    _end_story(kaspi, options)


def _serve(stopped: SandboxServer) -> None:
    with _stopped_by_signals(), stopped as server:
        _announce(server)
        while True:
            time.sleep(60)


def _kaspi(options: Mapping[str, Any]) -> FakeKaspi:
    account = {
        "api_key": options["api_key"],
        "webhook_secret": options["webhook_secret"],
        "webhook_url": options["webhook_url"] or None,
    }
    if options["replay"]:
        return ReplayedKaspi(cassettes.read(options["replay"]), **account)
    kind = RecordingKaspi if options["record"] else FakeKaspi
    if options["record"] and not options["record"].parent.is_dir():
        raise cassettes.CassetteError(f"The cassette {options['record']} cannot be written: its folder is missing.")
    return kind(first_retry_s=options["first_retry"], strict=options["strict"], **account)


def _end_story(kaspi: FakeKaspi, options: Mapping[str, Any]) -> None:
    """Write what was recorded, or list what of a replayed story did not happen."""
    if isinstance(kaspi, RecordingKaspi):
        kaspi.cassette.write(options["record"])
        sys.stdout.write(f"{len(kaspi.cassette.story)} entries written to {options['record']}.\n")
    if isinstance(kaspi, ReplayedKaspi):
        left = "".join(f"Not played: {name}\n" for name in kaspi.unplayed())
        sys.stdout.write(left or "The story was played to its end.\n")


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


@contextmanager
def _logging_to_stdout(level: int) -> Iterator[None]:
    """Log the sandbox's lines to stdout; afterwards the process logs as before."""
    logger = logging.getLogger("kaspi_delivery_django.sandbox")
    handler, before = logging.StreamHandler(sys.stdout), (logger.level, logger.propagate)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
