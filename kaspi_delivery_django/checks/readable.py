"""The settings and the adapters, for checks that have nothing to say about those that cannot be read."""

from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured
from django.db import models

from kaspi_delivery_django import conf, orders
from kaspi_delivery_django.orders import AnyAdapter


def settings_or_none() -> conf.Settings | None:
    """Return KASPI_DELIVERY; None when E001 has said already what is wrong with it."""
    try:
        return conf.current()
    except ImproperlyConfigured:
        return None


def readable_accounts() -> tuple[conf.Account, ...]:
    """Return the accounts of the settings; none when they cannot be read."""
    found = settings_or_none()
    return () if found is None else tuple(found.accounts.values())


def usable_adapters() -> Mapping[type[models.Model], AnyAdapter]:
    """Return the adapters by their models; none when E001 or E005 has said already what is wrong."""
    try:
        return orders.adapters()
    except ImproperlyConfigured:
        return {}
