"""Apply webhook events again that could not be applied: `manage.py kaspi_replay`."""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from typing import Any

from kaspi_delivery_django.management.batches import BatchCommand
from kaspi_delivery_django.models import WebhookEvent
from kaspi_delivery_django.services import inbox


class Command(BatchCommand):
    """Counts the state that each event is in afterwards; one that fails again makes the exit code 1."""

    help = "Apply failed, parked and conflicting webhook events again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        states = [str(state) for state in WebhookEvent.DEAD_LETTERS]
        parser.add_argument(
            "--state",
            nargs="+",
            choices=states,
            default=["failed"],
            help="which ones (failed); of parked and conflict a delivery may be flagged again",
        )

    def sweep(self, options: dict[str, Any]) -> Iterator[Counter[str]]:
        return inbox.replay_dead_letters(states=options["state"], batch=options["batch"], dry_run=options["dry_run"])
