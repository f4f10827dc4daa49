"""KASPI_DELIVERY["MESSAGES"], read at the moment of use, typed, and strict about its keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from kaspi_delivery_django import conf, statuses
from kaspi_delivery_django.client.types import is_word
from kaspi_delivery_django.contrib.messages.backends import Backend
from kaspi_delivery_django.timetables import WeeklyTimetable

WHERE = f"{conf.SETTING}['MESSAGES']"
KEYS = ("ORIGIN", "CHANNELS", "STATUSES", "QUIET_HOURS", "ALARMS")
CHANNELS = {"email": {"BACKEND": "kaspi_delivery_django.contrib.messages.backends.EmailBackend"}}
STATUSES = (
    statuses.ACCEPTED,
    statuses.IN_TRANSIT,
    statuses.OUT_FOR_DELIVERY,
    statuses.DELIVERED,
    statuses.CANCELLED,
)
QUIET_HOURS = ("22:00", "08:00")
CHANNEL_LENGTH = 32
RECIPIENT_LENGTH = 254


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One way to a recipient: the path of its backend, and the backend's options, which may hold a secret."""

    name: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def backend(self) -> Backend:
        """The backend, made once. Raises `ImproperlyConfigured` when it cannot be."""
        where = f"{WHERE}['CHANNELS'][{self.name!r}]"
        try:
            kind = import_string(self.path)
        except ImportError as err:
            raise ImproperlyConfigured(f"{where}: cannot import {self.path!r}: {err}.") from None
        if not (isinstance(kind, type) and issubclass(kind, Backend)):
            raise ImproperlyConfigured(f"{where}: {self.path!r} is not a Backend of this app.")
        try:
            made: Backend = kind(**self.options)
        except (TypeError, ValueError) as err:
            raise ImproperlyConfigured(f"{where}['OPTIONS']: {err}.") from None
        return made


@dataclass(frozen=True, kw_only=True)
class Settings:
    """MESSAGES, parsed. `hours` are those in which customers get messages, None for any; `alarms` go to these staff."""

    origin: str = ""
    channels: Mapping[str, Channel] = field(default_factory=dict)
    statuses: tuple[str, ...] = STATUSES
    hours: WeeklyTimetable | None = None
    alarms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def is_quiet(self, now: datetime) -> bool:
        """Return whether customers are left alone at this time."""
        return self.hours is not None and self.hours.next_open(now) > now


_parsed: tuple[Mapping[str, Any], str, Settings] | None = None


def current() -> Settings:
    """Return the settings as they are now. Raises `ImproperlyConfigured` when they are wrong."""
    global _parsed  # noqa: PLW0603  # a cache of one, replaced as a whole
    raw, zone = conf.current().messages, django_settings.TIME_ZONE
    if _parsed is None or _parsed[0] is not raw or _parsed[1] != zone:
        _parsed = (raw, zone, parse(raw))
    return _parsed[2]


def parse(raw: Mapping[str, Any]) -> Settings:
    """Read the dict. Raises `ImproperlyConfigured` with the key to correct."""
    conf.refuse_unknown(raw, KEYS, WHERE)
    found = Settings(
        origin=_origin(raw.get("ORIGIN", "")),
        channels=_channels(raw.get("CHANNELS", CHANNELS)),
        statuses=_statuses(raw.get("STATUSES", STATUSES)),
        hours=_hours(raw.get("QUIET_HOURS", QUIET_HOURS)),
        alarms=_alarms(raw.get("ALARMS", {})),
    )
    for name in found.alarms:
        if name not in found.channels:
            known = ", ".join(found.channels)
            raise ImproperlyConfigured(f"{WHERE}['ALARMS'] names the channel {name!r}; CHANNELS has: {known}.")
    return found


def _origin(value: Any) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    if value and (parts is None or parts.scheme not in {"http", "https"} or not parts.netloc or parts.query):
        raise ImproperlyConfigured(f'{WHERE}["ORIGIN"] must be where your site is, as "https://shop.kz".')
    return str(value).rstrip("/")


def _channels(value: Any) -> dict[str, Channel]:
    if not isinstance(value, Mapping):
        raise ImproperlyConfigured(f"{WHERE}['CHANNELS'] must be a dict of name to BACKEND and OPTIONS.")
    return {name: _channel(name, own) for name, own in value.items()}


def _channel(name: Any, raw: Any) -> Channel:
    where = f"{WHERE}['CHANNELS'][{name!r}]"
    if not isinstance(name, str) or not conf.ALIAS.fullmatch(name) or len(name) > CHANNEL_LENGTH:
        raise ImproperlyConfigured(f"{where}: write 1 to {CHANNEL_LENGTH} ASCII letters, digits, - or _ as its name.")
    if not isinstance(raw, Mapping):
        raise ImproperlyConfigured(f"{where} must be a dict of BACKEND and OPTIONS.")
    conf.refuse_unknown(raw, ("BACKEND", "OPTIONS"), where)
    path, options = raw.get("BACKEND"), raw.get("OPTIONS", {})
    if not isinstance(path, str) or not isinstance(options, Mapping):
        raise ImproperlyConfigured(f"{where} needs a BACKEND, a dotted path; its OPTIONS are a dict.")
    return Channel(name=name, path=path, options=dict(options))


def _statuses(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) and is_word(word) for word in value):
        raise ImproperlyConfigured(f"{WHERE}['STATUSES'] must be a list of statuses, as {list(STATUSES)}.")
    return tuple(value)


def _hours(value: Any) -> WeeklyTimetable | None:
    """Read the quiet hours as the hours between them, each day in TIME_ZONE."""
    if not value:
        return None
    try:
        begins, ends = value
        opening = (ends, "24:00" if begins == "00:00" else begins)
        return WeeklyTimetable(dict.fromkeys(range(7), opening), time_zone=django_settings.TIME_ZONE)
    except (TypeError, ValueError):
        raise ImproperlyConfigured(
            f"{WHERE}['QUIET_HOURS'] must begin before midnight and end in the morning, as {QUIET_HOURS}, or be None."
        ) from None


def _alarms(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping) or not all(isinstance(one, list | tuple) for one in value.values()):
        raise ImproperlyConfigured(
            f'{WHERE}["ALARMS"] must be a dict of channel to recipients, as {{"email": ["ops@shop.kz"]}}.'
        )
    recipients = {name: tuple(str(one).strip() for one in ones) for name, ones in value.items()}
    if any(not 0 < len(one) <= RECIPIENT_LENGTH for ones in recipients.values() for one in ones):
        raise ImproperlyConfigured(f"{WHERE}['ALARMS'] has an empty recipient, or one that is too long.")
    return recipients
