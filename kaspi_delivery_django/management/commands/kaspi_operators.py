"""Make the group of staff who work with deliveries: `manage.py kaspi_operators`.

The group has the permissions to view and to act.
"""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand, CommandError
from django.db import router, transaction

from kaspi_delivery_django.models import (
    AccountState,
    ApiCall,
    Delivery,
    FailedAttempt,
    PendingAction,
    StatusChange,
    WebhookEvent,
)

NAME = "Kaspi operators"
PERMISSIONS = (
    "cancel_delivery",
    "retry_delivery",
    "reissue_delivery",
    "return_delivery",
    "replay_event",
    "view_personal_data",
)
OPTIONAL = (  # where the app is installed
    ("kaspi_delivery_messages", "view_message"),
    ("kaspi_delivery_relay", "view_relayedevent"),
)
MODELS = (Delivery, ApiCall, FailedAttempt, WebhookEvent, StatusChange, AccountState, PendingAction)


def make_group(*, using: str) -> int:
    """Make the group, or complete it, and return how many permissions it was given.

    What a shop has added to it stays. Raises `CommandError` when `migrate` has not made the permissions yet.
    """
    codenames = {*PERMISSIONS, *(f"view_{model._meta.model_name}" for model in MODELS)}
    known = Permission.objects.using(using)
    wanted = set(known.filter(content_type__app_label=Delivery._meta.app_label, codename__in=codenames))
    if len(wanted) < len(codenames):
        raise CommandError("The permissions are not there yet: run manage.py migrate first.")
    for label, codename in OPTIONAL:
        wanted |= set(known.filter(content_type__app_label=label, codename=codename))
    with transaction.atomic(using=using):
        group, _created = Group.objects.using(using).get_or_create(name=NAME)
        missing = wanted - set(group.permissions.using(using))
        group.permissions.add(*missing)
    return len(missing)


class Command(BaseCommand):
    """Create the group, or add missing permissions; safe at every deployment."""

    help = f'Make the group "{NAME}", or give it the permissions that it lacks.'

    def add_arguments(self, parser: ArgumentParser) -> None:
        words = "where the site's users are (the database that groups are written to)"
        parser.add_argument("--database", default=router.db_for_write(Group), help=words)

    def handle(self, *args: Any, **options: Any) -> None:
        given = make_group(using=options["database"])
        self.stdout.write(f"{NAME}: {given} permissions given")
