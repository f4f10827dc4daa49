"""A shop with the optional app of relayed webhooks, before an ERP that listens on a socket.

Other runs of the suite leave this folder alone, because the app is in no other test's settings; tests/test_relay.py
runs it:

    python -m pytest --ds=tests.relay.settings tests/relay
"""

import pytest
from django.conf import settings as django_settings

APP = "kaspi_delivery_django.contrib.relay"
IS_OWN_RUN = APP in django_settings.INSTALLED_APPS
collect_ignore_glob = [] if IS_OWN_RUN else ["*"]

if IS_OWN_RUN:
    from kaspi_delivery_django import signals
    from kaspi_delivery_django.contrib.relay import events, sending
    from tests.relay.erp import ERP, SECRET

RECEIVED = ("delivery_created", "delivery_status_changed", "delivery_needs_attention")


@pytest.fixture(autouse=True)
def _rested():
    """Let no test see which endpoints another has found away."""
    sending._rests_until.clear()
    sending._served_at.clear()


@pytest.fixture
def erp():
    """The shop's ERP."""
    with ERP() as erp:
        yield erp


@pytest.fixture
def relay_to(settings):
    """Set the endpoints, each an ERP or a dict of its settings, and connect the receivers as at a start."""
    kept = {name: list(getattr(signals, name).receivers) for name in RECEIVED}

    def relay(**endpoints):
        settings.DEBUG = True  # plain HTTP
        given = {
            alias: {"URL": one.url, "SECRETS": [SECRET]} if isinstance(one, ERP) else one
            for alias, one in endpoints.items()
        }
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RELAY": given}
        events.connect()

    yield relay
    for name, receivers in kept.items():
        signal = getattr(signals, name)
        signal.receivers = receivers
        signal.sender_receivers_cache.clear()


@pytest.fixture
def relayed(relay_to, erp):
    """Relay everything to the ERP."""
    relay_to(erp=erp)
    return erp
