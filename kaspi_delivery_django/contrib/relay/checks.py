"""Checks of the settings, the library and the tables of relayed webhooks. No network, no database."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured
from django.db import router

from kaspi_delivery_django.checks.settings import settings_or_none
from kaspi_delivery_django.contrib.relay import conf
from kaspi_delivery_django.contrib.relay.models import RelayedEvent
from kaspi_delivery_django.services.db import db_alias


def check_relay(**_kwargs: Any) -> list[CheckMessage]:
    """E001: RELAY cannot be read. E002: no library. E003: another database. W001: no endpoint. W002: inline."""
    if not conf.is_set():
        hint = "Write an endpoint into RELAY, or take the app out of INSTALLED_APPS."
        return [Caution("No endpoint is set: no webhook is relayed.", hint=hint, id="kaspi_delivery_relay.W001")]
    return [*_settings(), *_library(), *_database(), *_runner()]


def _settings() -> Iterator[CheckMessage]:
    if settings_or_none() is None:
        return
    try:
        conf.endpoints()
    except ImproperlyConfigured as err:
        hint = "Correct RELAY in your settings; docs/relay.md lists its keys."
        yield Error(str(err), hint=hint, id="kaspi_delivery_relay.E001")


def _library() -> Iterator[CheckMessage]:
    if find_spec("standardwebhooks") is None:
        hint = "Run pip install 'kaspi-delivery-django[relay]'."
        text = "standardwebhooks is not installed: webhooks cannot be signed, and wait."
        yield Error(text, hint=hint, id="kaspi_delivery_relay.E002")


def _database() -> Iterator[CheckMessage]:
    if router.db_for_write(RelayedEvent) != db_alias():
        hint = 'Have DATABASE_ROUTERS send "kaspi_delivery_relay" where they send "kaspi_delivery".'
        text = "Relayed webhooks and deliveries are in different databases."
        yield Error(text, hint=hint, id="kaspi_delivery_relay.E003")


def _runner() -> Iterator[CheckMessage]:
    core = settings_or_none()
    if core is not None and core.runner == "inline":
        hint = 'Write RUNNER="worker", and keep manage.py kaspi_worker running; silence this if it runs already.'
        text = 'RUNNER is "inline": web processes relay nothing, and events wait for kaspi_worker.'
        yield Caution(text, hint=hint, id="kaspi_delivery_relay.W002")
