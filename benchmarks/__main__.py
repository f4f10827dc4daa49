"""Measure and report: `python -m benchmarks --only admin`. No figure fails the run.

PostgreSQL is the server of DATABASE_URL, with databases that are dropped afterwards, or the embedded one.
"""

import argparse
import json
import platform
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import django

from benchmarks import databases, report
from benchmarks.rounds import Options, log

NAMES = ("admin", "webhook", "orders", "dispatch", "scaling", "bulk")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", choices=NAMES, action="append", help="this benchmark; may be repeated")
    parser.add_argument("--json", action="store_true", help="print every sample, as JSON")
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is measured (default %(default)s)")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="deliveries in the largest database (default %(default)s)"
    )
    parser.add_argument(
        "--requests", type=int, default=1000, help="requests for each contestant in a round (default %(default)s)"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the chosen benchmarks, and print their figures."""
    chosen = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the databases are dropped
    server = databases.server()
    databases.set_up(server)
    options = Options(server=server, rows=chosen.rows, rounds=chosen.rounds, requests=chosen.requests)
    versions = {"python": platform.python_version(), "django": django.get_version()}
    run: dict[str, Any] = {"rows": options.rows, "rounds": options.rounds, **versions}
    found: dict[str, Any] = {"run": run}
    for name in chosen.only or NAMES:
        log(f"--- {name} ---")
        benchmark: Any = import_module(f"benchmarks.{name}")  # its models need Django's settings
        figures = list(benchmark.run(options))
        found[name] = [figure.to_json() for figure in figures]
        if not chosen.json:
            print("\n".join(report.table(benchmark.__doc__, figures, benchmark.SHOWN)), flush=True)  # noqa: T201  # the report
    print(json.dumps(found if chosen.json else run, indent=1), flush=True)  # noqa: T201  # goes to stdout
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
