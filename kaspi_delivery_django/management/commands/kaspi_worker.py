"""Send what is due to Kaspi, and do what else waits: `manage.py kaspi_worker`."""

import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from kaspi_delivery_django.services.worker import Worker


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT, and then finishes the call under way; `--once` for cron."""

    help = "Send what is due to Kaspi, ask about silent deliveries, repeat what failed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take --once."""
        parser.add_argument("--once", action="store_true", help="do what is due now, then exit")

    def handle(self, *args: Any, **options: Any) -> None:
        """Work, and say what is done."""
        worker = Worker(say=self._say)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        if options["once"]:
            worker.run_until_idle()
            return
        self._say("kaspi_worker is ready")
        worker.run()
        self._say("kaspi_worker has stopped")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
