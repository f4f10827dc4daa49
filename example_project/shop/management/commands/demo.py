"""Show the whole way of five orders, over real sockets: `manage.py demo`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext

from example_project.demo import show
from example_project.demo.deadline import DemoFailed

INTERRUPTED = 130


class Command(BaseCommand):
    """Starts everything on free ports and a fresh database, and leaves nothing behind."""

    help = "Send five orders through the shop and the sandbox, and show what happens to them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take --serve."""
        parser.add_argument("--serve", action="store_true", help="stay up for orders by hand")

    def handle(self, *args: Any, **options: Any) -> None:
        """Play, and fail when an order did not end as it should."""
        try:
            show.run(serve=options["serve"], say=self._say, style=self.style)
        except DemoFailed as err:
            raise CommandError(str(err)) from err
        except KeyboardInterrupt as err:
            raise CommandError(gettext("Interrupted; everything is stopped."), returncode=INTERRUPTED) from err

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
