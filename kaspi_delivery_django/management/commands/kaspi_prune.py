"""Delete old events and anonymize old personal data: `manage.py kaspi_prune`, for cron."""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from kaspi_delivery_django.management.argtypes import days
from kaspi_delivery_django.management.batches import BatchCommand
from kaspi_delivery_django.management.exits import WRONG_USE
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import delete_in_batches
from kaspi_delivery_django.services.maintenance import pruning

LEAST_EVENTS_DAYS = 7


class Command(BatchCommand):
    """Prune old rows, except those that are unresolved, parked, unnotified, or need attention."""

    help = "Delete old events and failed attempts, and anonymize the personal data of deliveries that ended long ago."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--events-days", type=days, default=90, help="keep what came and failed so long (90, at least 7)"
        )
        parser.add_argument("--personal-days", type=days, default=30, help="keep personal data this long (30)")

    def sweep(self, options: dict[str, Any]) -> Iterator[Counter[str]]:
        if options["events_days"] < LEAST_EVENTS_DAYS:
            raise CommandError(
                "--events-days must be at least 7: Kaspi repeats an event for a day.", returncode=WRONG_USE
            )
        before = clock.now() - timedelta(days=options["events_days"])
        ended = clock.now() - timedelta(days=options["personal_days"])
        how = {"batch": options["batch"], "dry_run": options["dry_run"]}
        for name, old in pruning.old_rows(before):
            for count in delete_in_batches(old, **how):
                yield Counter({f"{name} deleted": count})
        for count in pruning.anonymize_personal_data(ended_before=ended, **how):
            yield Counter({"deliveries anonymized": count})
