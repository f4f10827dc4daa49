"""Let the package stand a storm: `python -m tests.storm --orders 5000`.

DATABASE picks the engine, as for the tests; PostgreSQL is the default. Prints the closing table;
exits 1 when anything was lost, doubled, sent after its cancel, set back or left unexplained.
"""

import argparse
import os
import sys

import django


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m tests.storm")
    parser.add_argument("--orders", type=int, default=500)
    parser.add_argument("--faults", type=float, default=0.1, help="the chance of each fault, for each call and event")
    parser.add_argument("--kill-every", type=float, default=3.0, dest="kill_every_s", help="seconds, on average")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=30.0, help="how much faster than real the time runs")
    parser.add_argument("--limit", type=float, default=3600.0, dest="limit_s", help="seconds it may take")
    parser.add_argument("--stop-database", action="store_true", help="stop the embedded PostgreSQL once, in the middle")
    return vars(parser.parse_args(arguments))


def main(arguments):
    options = parse(arguments)
    os.environ.setdefault("DATABASE", "postgresql")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from tests.storm import counts, database  # noqa: PLC0415  # it needs the settings
    from tests.storm.run import Plan, storm  # noqa: PLC0415  # as above

    disturb = database.stop_for_a_while if options.pop("stop_database") else None
    with database.made():
        table = storm(Plan(**options), log=log, disturb=disturb)
    for label, figure in table.items():
        log(f"{label:45} {figure:>8}")
    return int(any(table[label] for label in counts.MUST_BE_NONE))


def log(line):
    print(line, flush=True)  # noqa: T201  # a command prints


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
