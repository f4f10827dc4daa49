"""The sandbox as a management command, with the options of its own command line."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kaspi_delivery_django.sandbox import cli
from kaspi_delivery_django.sandbox.cassettes import CassetteError


class Command(BaseCommand):
    help = cli.DESCRIPTION
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        cli.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        try:
            cli.run(options)
        except CassetteError as err:
            raise CommandError(str(err)) from err
        except (OSError, OverflowError) as err:
            raise CommandError(f"The sandbox cannot start: {err}. Try another --port.") from err
