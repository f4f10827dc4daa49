"""System checks of this app: the settings, its place in the database, and messages that no customer would get."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.urls import NoReverseMatch, reverse

from kaspi_delivery_django import orders
from kaspi_delivery_django.checks import TAG
from kaspi_delivery_django.checks.settings import settings_or_none, usable_adapters
from kaspi_delivery_django.contrib.messages import conf
from kaspi_delivery_django.contrib.messages.models import Alarm, Message
from kaspi_delivery_django.services.db import db_alias


def register() -> None:
    """Have Django run them with those of the app itself."""
    for check in (check_settings, check_database, check_recipients, check_links, check_time_zone):
        checks.register(check, TAG)


def check_settings(**_kwargs: Any) -> list[CheckMessage]:
    """E001: MESSAGES cannot be read, or a channel's backend cannot be made."""
    if settings_or_none() is None:
        return []
    try:
        for channel in conf.current().channels.values():
            _ = channel.backend
    except ImproperlyConfigured as err:
        hint = "Correct it; docs/messages.md lists the keys and the options of each backend."
        return [Error(str(err), hint=hint, id="kaspi_delivery_messages.E001")]
    return []


def check_database(**_kwargs: Any) -> list[CheckMessage]:
    """E002: the messages are routed to another database than the deliveries."""
    if all(router.db_for_write(model) == db_alias() for model in (Alarm, Message)):
        return []
    hint = 'Have DATABASE_ROUTERS send "kaspi_delivery_messages" where they send "kaspi_delivery".'
    text = "Messages and deliveries are in different databases."
    return [Error(text, hint=hint, id="kaspi_delivery_messages.E002")]


def check_recipients(**_kwargs: Any) -> list[CheckMessage]:
    """W001: no adapter names a recipient, and no staff are to be alarmed: nothing is ever sent."""
    found, adapters = _settings_or_none(), usable_adapters()
    default = orders.OrderAdapter.customer_recipients
    is_used = any(type(adapter).customer_recipients is not default for adapter in adapters.values())
    if found is None or is_used or not adapters or found.alarms:
        return []
    hint = 'Let your adapter return {"email": order.email} from customer_recipients(order), or set ALARMS.'
    text = "No adapter has customer_recipients, and ALARMS is empty: no message is ever sent."
    return [Caution(text, hint=hint, id="kaspi_delivery_messages.W001")]


def check_links(**_kwargs: Any) -> list[CheckMessage]:
    """W002: the tracking page is there, and messages cannot link it."""
    found = _settings_or_none()
    if found is None or found.origin:
        return []
    try:
        reverse("kaspi_delivery:tracking", kwargs={"token": "1"})
    except NoReverseMatch:
        return []
    hint = 'Write "ORIGIN": "https://shop.kz" into MESSAGES: a worker does not know where your site is.'
    text = "MESSAGES has no ORIGIN: messages link Kaspi's page instead of your tracking page."
    return [Caution(text, hint=hint, id="kaspi_delivery_messages.W002")]


def check_time_zone(**_kwargs: Any) -> list[CheckMessage]:
    """W003: customers read times in UTC, and the quiet hours are in UTC."""
    if settings.TIME_ZONE != "UTC" or _settings_or_none() is None:
        return []
    hint = 'Set TIME_ZONE = "Asia/Almaty".'
    text = "TIME_ZONE is UTC: messages give times in UTC, and QUIET_HOURS begin five hours late in Kazakhstan."
    return [Caution(text, hint=hint, id="kaspi_delivery_messages.W003")]


def _settings_or_none() -> conf.Settings | None:
    """Return MESSAGES; None when it or KASPI_DELIVERY cannot be read, which is reported already."""
    try:
        return conf.current()
    except ImproperlyConfigured:
        return None
