"""What Kaspi's checklist asks about beside the findings: from the process, and from a bounded number of rows."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.apps import apps
from django.urls import NoReverseMatch, reverse

from kaspi_delivery_django import conf
from kaspi_delivery_django.figures import lately
from kaspi_delivery_django.figures.report import total
from kaspi_delivery_django.figures.standing import Snapshot
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services.transactions import home

WEBHOOK_LOGGER = "kaspi_delivery_django.views.webhook"
DASHBOARD = "admin:app_list"
LATEST = 1000


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the process says: where keys come from (by alias), what is logged, whether the admin is there."""

    keys_from_environment: Mapping[str, bool] = field(default_factory=dict)
    logs_webhooks: bool = False
    has_admin: bool = False


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What the tables say of all accounts: of the latest 1,000 calls and deliveries, and of the last day's events."""

    has_keyless_calls: bool = False
    has_booked: bool = False
    has_notes: bool = False
    adapter_failures: int = 0
    dead_letters: int = 0
    webhooks: lately.Webhooks = field(default_factory=lambda: lately.Webhooks(events=0, repeated=0, most_attempts=0))


def surroundings(accounts: Mapping[str, conf.Account]) -> Surroundings:
    """Look around."""
    logger = logging.getLogger(WEBHOOK_LOGGER)
    return Surroundings(
        keys_from_environment={alias: _is_from_environment(account) for alias, account in accounts.items()},
        logs_webhooks=logger.isEnabledFor(logging.WARNING),
        has_admin=_has_admin(),
    )


def tables(standing: Snapshot) -> Tables:
    """Read the tables, which must be migrated."""
    booked = Delivery.objects.using(home()).filter(delivery_id__isnull=False).order_by("-pk")
    notes = list(booked.values_list("pickup_notes", "dropoff_notes")[:LATEST])
    writes = ApiCall.objects.using(home()).exclude(kind=ApiCall.Kind.REFRESH).order_by("-pk")
    return Tables(
        has_keyless_calls="" in writes.values_list("idempotency_key", flat=True)[:LATEST],
        has_booked=bool(notes),
        has_notes=any(pickup or dropoff for pickup, dropoff in notes),
        adapter_failures=standing.attention.get(Attention.ADAPTER_FAILED, 0),
        dead_letters=total(standing.dead_letters),
        webhooks=lately.webhooks(standing.read_at),
    )


def _is_from_environment(account: conf.Account) -> bool:
    given = os.environ.get(conf.variable_of(account.alias, "API_KEY"), "")
    return bool(account.api_key) and given.strip() == account.api_key


def _has_admin() -> bool:
    if not apps.is_installed("django.contrib.admin"):
        return False
    try:
        reverse(DASHBOARD, kwargs={"app_label": "kaspi_delivery"})
    except NoReverseMatch:
        return False
    return True
