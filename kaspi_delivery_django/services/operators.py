"""The group of staff who work with deliveries: what they may see, and what they may do."""

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from kaspi_delivery_django.exceptions import DeliveryError
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
MAY = ("cancel_delivery", "retry_delivery", "reissue_delivery", "replay_event", "view_personal_data")
SHOWN = (Delivery, ApiCall, FailedAttempt, WebhookEvent, StatusChange, AccountState, PendingAction)


def make_group(*, using: str) -> int:
    """Make the group, or complete it, and return how many permissions it was given.

    What a shop has added to it stays. Raises `DeliveryError` when `migrate` has not made the permissions yet.
    """
    codenames = {*MAY, *(f"view_{model._meta.model_name}" for model in SHOWN)}
    own = Permission.objects.using(using).filter(content_type__app_label=Delivery._meta.app_label)
    wanted = set(own.filter(codename__in=codenames))
    if len(wanted) < len(codenames):
        raise DeliveryError("The permissions are not there yet: run manage.py migrate first.")
    with transaction.atomic(using=using):
        group, _created = Group.objects.using(using).get_or_create(name=NAME)
        missing = wanted - set(group.permissions.using(using))
        group.permissions.add(*missing)
    return len(missing)
