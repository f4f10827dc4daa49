"""Measure, and report: `python -m benchmarks --only admin`. A report, never a test: nothing fails for being slow.

PostgreSQL is the server of DATABASE_URL, in databases that are dropped afterwards, or else the one
that comes as a wheel.
"""

import argparse
import json
import platform
import signal
import sys
from typing import Any

import django

from benchmarks import postgres, processes, registry, report
from benchmarks.plan import Plan, say


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", choices=registry.NAMES, action="append", help="this benchmark; may be repeated")
    parser.add_argument("--json", action="store_true", help="print every sample, as JSON")
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is measured (default %(default)s)")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="deliveries in the largest database (default %(default)s)"
    )
    parser.add_argument(
        "--requests", type=int, default=1000, help="requests for each contestant in a round (default %(default)s)"
    )
    parser.add_argument("--explain", action="store_true", help="list the statements behind each mark, with a plan")
    parser.add_argument("--keep", action="store_true", help="leave the databases, and use those that were left")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run the chosen benchmarks, and print their figures."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the databases are dropped then, too
    server = postgres.server()
    plan = Plan(
        server=server,
        rows=options.rows,
        rounds=options.rounds,
        requests=options.requests,
        explain=options.explain,
        keep=options.keep,
    )
    processes.set_up(server)
    found: dict[str, Any] = {"run": _circumstances(plan)}
    for name in options.only or registry.NAMES:
        say(f"--- {name} ---")
        benchmark = registry.load(name)
        figures = list(benchmark.run(plan))
        found[name] = [figure.to_json() for figure in figures]
        if not options.json:
            _print("\n".join(report.table(benchmark.__doc__, figures, benchmark.SHOWN)))
    _print(json.dumps(found if options.json else found["run"], indent=1))
    return 0


def _circumstances(plan: Plan) -> dict[str, Any]:
    return {
        "rows": plan.rows,
        "rounds": plan.rounds,
        "python": platform.python_version(),
        "django": django.get_version(),
        "postgresql": postgres.version(plan.server),
    }


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # a command speaks


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
