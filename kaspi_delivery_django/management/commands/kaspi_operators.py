"""Make the group of staff who work with deliveries: `manage.py kaspi_operators`."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError
from django.db import router

from kaspi_delivery_django.exceptions import DeliveryError
from kaspi_delivery_django.services import operators


class Command(BaseCommand):
    """May be run at every deployment: what is there stays as it is."""

    help = f'Make the group "{operators.NAME}", or give it the permissions that it lacks.'

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take --database."""
        words = "where the site's users are (the database that groups are written to)"
        parser.add_argument("--database", default=router.db_for_write(Group), help=words)

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it, and say what was done."""
        try:
            given = operators.make_group(using=options["database"])
        except DeliveryError as err:
            raise CommandError(str(err)) from err
        self.stdout.write(f"{operators.NAME}: {given} permissions given")
