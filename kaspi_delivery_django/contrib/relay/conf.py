"""KASPI_DELIVERY["RELAY"]: the endpoints that events are sent to, read at the moment of use, typed and strict."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from kaspi_delivery_django import conf

WHERE = f"{conf.SETTING}['RELAY']"
CREATED = "delivery.created"
STATUS_CHANGED = "delivery.status_changed"
NEEDS_ATTENTION = "delivery.needs_attention"
EVENTS = (CREATED, STATUS_CHANGED, NEEDS_ATTENTION)
KEYS = ("URL", "SECRETS", "EVENTS")
PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)  # of Standard Webhooks
MAX_URL_LENGTH = 2000
NEW_SECRET = 'echo "whsec_$(openssl rand -base64 32)"'  # noqa: S105  # a command


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One system that gets events. Each event is signed with each secret, the first is the newest."""

    alias: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    events: tuple[str, ...] = EVENTS


def is_set() -> bool:
    """Return whether there is any endpoint, right or wrong."""
    raw = getattr(settings, conf.SETTING, None)
    return isinstance(raw, Mapping) and bool(raw.get("RELAY"))


@conf.without_traceback
def endpoints() -> Mapping[str, Endpoint]:
    """Return the endpoints as they are now, by alias. Raises `ImproperlyConfigured` when they are wrong."""
    return {alias: _endpoint(alias, given) for alias, given in conf.current().relay.items()}


def _endpoint(alias: Any, raw: Any) -> Endpoint:
    if not isinstance(alias, str) or not conf.ALIAS.fullmatch(alias):
        raise ImproperlyConfigured(f"{WHERE} has the alias {alias!r}; write 1 to 40 ASCII letters, digits, - or _.")
    where = f"{WHERE}[{alias!r}]"
    if not isinstance(raw, Mapping):
        raise ImproperlyConfigured(f"{where} must be a dict with the keys {', '.join(KEYS)}.")
    conf.refuse_unknown(raw, KEYS, where)
    return Endpoint(
        alias=alias,
        url=_url(raw.get("URL"), where),
        secrets=_secrets(raw.get("SECRETS"), where),
        events=_events(raw.get("EVENTS", EVENTS), where),
    )


def _url(value: Any, where: str) -> str:
    schemes = ("https", "http") if settings.DEBUG else ("https",)
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not value.isascii() or not value.isprintable() or " " in value or len(value) > MAX_URL_LENGTH:
        raise ImproperlyConfigured(f"{where}['URL'] must be a whole address, as \"https://erp.example/kaspi/\".")
    if parts.scheme not in schemes:
        raise ImproperlyConfigured(f"{where}['URL'] must begin with https://; http:// is for DEBUG only.")
    if parts.username is not None or parts.fragment:
        raise ImproperlyConfigured(f"{where}['URL'] must have no user, no password and no fragment.")
    return str(value)


def _secrets(value: Any, where: str) -> tuple[str, ...]:
    given = value if isinstance(value, list | tuple) else ()
    if not 1 <= len(given) <= conf.MAX_SECRETS:
        raise ImproperlyConfigured(f"{where}['SECRETS'] must be a list of 1 to {conf.MAX_SECRETS} secrets.")
    if not all(map(_is_secret, given)):
        raise ImproperlyConfigured(
            f"{where}['SECRETS'] must be {PREFIX} and then 24 to 64 bytes in base64 each. Make one: {NEW_SECRET}"
        )
    return tuple(given)


def _is_secret(value: Any) -> bool:
    if not isinstance(value, str) or not value.startswith(PREFIX):
        return False
    try:
        return len(base64.b64decode(value.removeprefix(PREFIX), validate=True)) in SECRET_BYTES
    except (ValueError, binascii.Error):
        return False


def _events(value: Any, where: str) -> tuple[str, ...]:
    given = tuple(value) if isinstance(value, list | tuple) else ()
    if not given or any(name not in EVENTS for name in given):
        raise ImproperlyConfigured(f"{where}['EVENTS'] must be a list of some of {', '.join(EVENTS)}; or leave it out.")
    return given
