"""Find what the package knows of an order."""

from typing import TypeAlias

from django.db.models import Model

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import booking
from kaspi_delivery_django.services.transactions import home

Subject: TypeAlias = Model
"""The shop's order, or one of its deliveries."""


def deliveries_of(subject: Subject) -> list[Delivery]:
    """Return the order's deliveries as the tables have them now, the newest generation first."""
    if isinstance(subject, Delivery):
        return list(Delivery.objects.using(home()).filter(pk=subject.pk))
    return list(booking.deliveries_of(booking.adapter_of(subject), subject))


def is_ours(delivery: Delivery) -> bool:
    """Tell whether the delivery was made under the settings of the sandbox."""
    account = conf.account(delivery.account)
    return account is not None and account.environment == delivery.environment
