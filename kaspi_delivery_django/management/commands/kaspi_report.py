"""Report statistics, and whether a limit is crossed: `manage.py kaspi_report`, for staff, cron and probes."""

import json
import math
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError

from kaspi_delivery_django.management import report_table
from kaspi_delivery_django.management.argtypes import format_duration, seconds, whole_number
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.stats import metrics, report
from kaspi_delivery_django.stats.metrics import METRICS, Crossing, Metric
from kaspi_delivery_django.stats.report import Report

CROSSED = 1
WRONG_USE = 2
NOT_READ = 3


class Command(BaseCommand):
    """Reads a bounded number of rows, and writes none.

    Exit codes: 0 when no limit is crossed, 1 when one is, 2 for wrong options or settings, 3 when the
    statistics cannot be read. No limit is set unless it is given.
    """

    help = "Print statistics of deliveries, calls, webhooks and workers; exit with 1 when a limit is crossed."
    requires_system_checks = []  # their exit code is 1, which would mean that a limit is crossed

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take --json, and a limit for each metric."""
        parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
        for name, metric in METRICS.items():
            option = f"--max-{name.replace('_', '-')}"
            parser.add_argument(option, help=f"limit of: {metric.help}", **_argument(metric))

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the report, and the metrics above their limits."""
        found = _read()
        chosen = {name: options[f"max_{name}"] for name in METRICS}
        crossings = metrics.crossed(found, {name: limit for name, limit in chosen.items() if limit is not None})
        self._print(found, crossings, as_json=options["json"])
        for crossing in crossings:
            self.stderr.write(_sentence(crossing))
        if crossings:
            raise SystemExit(CROSSED)

    def _print(self, found: Report, crossings: Sequence[Crossing], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(report.document(found, [one.document() for one in crossings]), indent=2))
            return
        for line in report_table.lines(found):
            self.stdout.write(line)


def _argument(metric: Metric) -> dict[str, Any]:
    if metric.max_limit is None:
        return {"type": seconds, "metavar": "15m"}
    return {"type": partial(whole_number, least=0, most=metric.max_limit), "metavar": "N"}


def _read() -> Report:
    """Read the report; no error may end with the exit code of a crossed limit."""
    try:
        return report.read()
    except ImproperlyConfigured as err:
        raise CommandError(str(err), returncode=WRONG_USE) from err
    except (DatabaseError, InterfaceError) as err:
        what = f"The database cannot be read: {type(err).__name__}. Is it up, and migrated?"
        raise CommandError(what, returncode=NOT_READ) from err
    except Exception as err:  # its exit code must not be that of a crossed limit
        raise CommandError(f"The statistics cannot be read: {errors.describe(err)}", returncode=NOT_READ) from err


def _sentence(crossing: Crossing) -> str:
    show = format_duration if METRICS[crossing.figure].max_limit is None else report_table.count
    value = "never" if math.isinf(crossing.value) else show(int(crossing.value))
    return f"crossed: {crossing.figure} is {value}, the limit is {show(int(crossing.limit))}"
