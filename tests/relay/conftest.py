"""A shop with the optional app of relayed webhooks, before an ERP that listens on a socket."""

import pytest
from django.apps import apps
from django.core.checks.registry import registry

from kaspi_delivery_django import signals
from kaspi_delivery_django.contrib.relay import events, sending
from kaspi_delivery_django.contrib.relay.apps import RelayConfig
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services import extensions
from kaspi_delivery_django.signals import delivery_needs_attention
from tests.admin.conftest import staff  # noqa: F401  # a fixture
from tests.relay.erp import ERP, SECRET


@pytest.fixture
def erp():
    """The shop's ERP."""
    with ERP() as erp:
        yield erp


@pytest.fixture
def relay_to(settings, monkeypatch):
    """Set the endpoints, each an ERP or a dict of its settings, and connect the app as at a start."""
    monkeypatch.setattr(registry, "registered_checks", set(registry.registered_checks))
    monkeypatch.setattr(extensions, "_installed", {})
    monkeypatch.setattr(sending, "_rests_until", {})
    monkeypatch.setattr(sending, "_served_at", {})

    def relay(**endpoints):
        settings.DEBUG = True  # plain HTTP
        given = {
            alias: {"URL": one.url, "SECRETS": [SECRET]} if isinstance(one, ERP) else one
            for alias, one in endpoints.items()
        }
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RELAY": given}
        RelayConfig.ready(apps.get_app_config("kaspi_delivery_relay"))

    yield relay
    signals.delivery_created.disconnect(events.store_created)
    signals.delivery_status_changed.disconnect(events.store_status_change)
    signals.delivery_needs_attention.disconnect(events.store_attention)


@pytest.fixture
def relayed(relay_to, erp):
    """Relay everything to the ERP."""
    relay_to(erp=erp)
    return erp


@pytest.fixture
def delivery(due):
    """Return a delivery that is not booked yet."""
    return due.delivery


def flag(delivery, *reasons):
    """Send the signal that staff are needed, once for each reason."""
    for reason in reasons or ("refused",):
        delivery_needs_attention.send(Delivery, delivery=delivery, attention=reason)
