"""Checks of the settings: each option, each account, and credentials shared between accounts."""

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import combinations
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from kaspi_delivery_django import conf, orders, statuses
from kaspi_delivery_django.client.protocol import API_PATH
from kaspi_delivery_django.client.types import is_word
from kaspi_delivery_django.orders import AnyAdapter


def settings_or_none() -> conf.Settings | None:
    """Return KASPI_DELIVERY; None when E001 reports what is wrong with it."""
    try:
        return conf.current()
    except ImproperlyConfigured:
        return None


def readable_accounts() -> tuple[conf.Account, ...]:
    """Return the accounts of the settings; none when they cannot be read."""
    found = settings_or_none()
    return () if found is None else tuple(found.accounts.values())


def usable_adapters() -> Mapping[type[models.Model], AnyAdapter]:
    """Return the adapters by their models; none when E001 or E005 reports what is wrong."""
    try:
        return orders.adapters()
    except ImproperlyConfigured:
        return {}


RELAY_APP, MESSAGES_APP = "kaspi_delivery_django.contrib.relay", "kaspi_delivery_django.contrib.messages"
LIBRARIES = {"celery": ("celery",), "django_tasks": ("django.tasks", "django_tasks")}  # any one of them
HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?")


def check_settings(**_kwargs: Any) -> Iterator[CheckMessage]:
    """E001: KASPI_DELIVERY cannot be read. E007: times would not be aware."""
    try:
        conf.current()
    except ImproperlyConfigured as err:
        hint = f"Correct {conf.SETTING} in your settings; docs/settings.md lists its keys."
        yield Error(str(err), hint=hint, id="kaspi_delivery.E001")
    if not settings.USE_TZ:
        hint = "Write USE_TZ = True: Kaspi's times are moments, not wall clocks."
        yield Error("USE_TZ is off.", hint=hint, id="kaspi_delivery.E007")


def check_runner(**_kwargs: Any) -> Iterator[CheckMessage]:
    """E008: the library of the runner is not installed, so its workers would not be notified."""
    found = settings_or_none()
    runner = found.runner if found else ""
    if runner in LIBRARIES and not any(map(find_spec, LIBRARIES[runner])):
        hint = f"Run pip install 'kaspi-delivery-django[{runner.replace('_', '-')}]', or write RUNNER=\"worker\"."
        yield Error(f'RUNNER is "{runner}", which is not installed.', hint=hint, id="kaspi_delivery.E008")


def check_tracking_hosts(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W016: a host of TRACKING_HOSTS that no address can have."""
    found = settings_or_none()
    hint = 'Write bare host names in small letters, as TRACKING_HOSTS=["track.kaspi.kz"]; there are no wildcards.'
    text = "It is no host name: tracking addresses there become no links."
    for host in found.tracking_hosts if found else ():
        if not HOST.fullmatch(host):
            yield Caution(text, hint=hint, obj=repr(host), id="kaspi_delivery.W016")


def check_final_statuses(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W037: a word of FINAL_STATUSES that changes nothing."""
    found = settings_or_none()
    hint = (
        'Name statuses as Kaspi writes them, and only those that docs/settings.md does not list: ["returned", "lost"].'
    )
    text = "FINAL_STATUSES names a status that is known already, or that no status can be: it changes nothing."
    for word in found.final_statuses if found else ():
        if word in statuses.RANKS or not is_word(word):
            yield Caution(text, hint=hint, obj=repr(word), id="kaspi_delivery.W037")


def check_optional_apps(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W039, W041: a key of an optional app that is not installed."""
    found = settings_or_none()
    if found and found.relay and not apps.is_installed(RELAY_APP):
        hint = f'Write "{RELAY_APP}" into INSTALLED_APPS, and run manage.py migrate.'
        text = "RELAY is set, but its app is not installed: no webhook is relayed."
        yield Caution(text, hint=hint, id="kaspi_delivery.W039")
    if found and found.messages and not apps.is_installed(MESSAGES_APP):
        hint = f'Write "{MESSAGES_APP}" into INSTALLED_APPS, after "kaspi_delivery_django", and run manage.py migrate.'
        text = "KASPI_DELIVERY['MESSAGES'] is set, and its app is not in INSTALLED_APPS: nothing is sent."
        yield Caution(text, hint=hint, id="kaspi_delivery.W041")


def check_inline(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W017: customers wait for Kaspi."""
    found = settings_or_none()
    if found and found.runner == "inline":
        hint = 'Write RUNNER="worker", and keep manage.py kaspi_worker running.'
        text = 'RUNNER is "inline": a customer may wait up to 5 s for Kaspi.'
        yield Caution(text, hint=hint, id="kaspi_delivery.W017")


_VERSION = re.compile(r"v[0-9]+", re.IGNORECASE)
KASPIS = {environment: urlsplit(conf.BASE_URLS[environment]).hostname for environment in ("production", "sandbox")}


def check_accounts(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W001 to W004, W024: an account that cannot send, or cannot receive. W033: a short secret.

    E009, W008: it would send something else.
    """
    for account in readable_accounts():
        yield from _account_messages(account)


def check_shared_credentials(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W009, W010: two accounts with the same key or secret, so that one can be taken for the other."""
    own = [account for account in readable_accounts() if account.environment != "local"]
    for one, other in combinations(own, 2):
        yield from _shared(one, other)


def check_accounts_in_use(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W011, W012: an account of a running shop whose orders no courier comes for."""
    for account in readable_accounts():
        if not settings.DEBUG and account.environment != "local":
            yield from _idle(account)


def _account_messages(account: conf.Account) -> Iterator[CheckMessage]:
    if account.environment == "local" and not settings.DEBUG:
        hint = 'Write ENVIRONMENT="production" and a key, or DEBUG = True where you develop; in tests all is well.'
        text = "ENVIRONMENT is local without DEBUG: nothing is sent and every webhook is refused."
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W001")
        return
    yield from _address(account)
    yield from _version(account)
    yield from _key(account)
    yield from _secrets(account)


def _address(account: conf.Account) -> Iterator[CheckMessage]:
    host = urlsplit(account.base_url).hostname
    elsewhere = [name for name, of_kaspi in KASPIS.items() if host == of_kaspi and name != account.environment]
    for environment in elsewhere:
        hint = f'Leave BASE_URL out, or write ENVIRONMENT="{environment}" if that is what you mean.'
        text = f"ENVIRONMENT is {account.environment}, but BASE_URL is that of Kaspi's {environment}."
        yield Error(text, hint=hint, obj=account.alias, id="kaspi_delivery.E009")


def _version(account: conf.Account) -> Iterator[CheckMessage]:
    without, _slash, last = account.base_url.rstrip("/").rpartition("/")
    if _VERSION.fullmatch(last):
        hint = f'Write BASE_URL="{without}": the app adds "{API_PATH}" itself; or leave BASE_URL out.'
        text = f"BASE_URL ends in the API's version, /{last}: every request would go to an address that does not exist."
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W024")


def _key(account: conf.Account) -> Iterator[CheckMessage]:
    variable = conf.variable_of(account.alias, "API_KEY")
    if not account.api_key:
        hint = f'Set {variable}, or start with ENVIRONMENT="local", which needs no key.'
        text = "API_KEY is missing: orders wait unsent."
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W002")
    elif account.api_key == conf.LOCAL_API_KEY and account.environment != "local":
        hint = f'Set {variable} to a key of Kaspi\'s partner console, or write ENVIRONMENT="local".'
        text = "API_KEY is the one that is published with the bundled sandbox: Kaspi refuses it."
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W008")


def _secrets(account: conf.Account) -> Iterator[CheckMessage]:
    variable = conf.variable_of(account.alias, "WEBHOOK_SECRETS")
    if not account.webhook_secrets:
        hint = f"Set {variable} to the secret that Kaspi's partner console shows."
        text = f"WEBHOOK_SECRETS is missing, or under {conf.MIN_SECRET_LENGTH} characters: every webhook is refused."
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W003")
    elif account.ignored_secrets:
        hint = f"Keep at most {conf.MAX_SECRETS} secrets, each of {conf.MIN_SECRET_LENGTH} characters or more."
        text = (
            f"{account.ignored_secrets} of WEBHOOK_SECRETS ignored: too short, too many, unreadable or the sandbox's."
        )
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W004")
    if account.short_secrets:
        hint = "Ask Kaspi for a longer one; silence this if Kaspi issues no other."
        text = (
            f"{account.short_secrets} of WEBHOOK_SECRETS under {conf.ADVISED_SECRET_LENGTH} characters: used, but weak."
        )
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W033")


def _shared(one: conf.Account, other: conf.Account) -> Iterator[CheckMessage]:
    names = f"{one.alias}, {other.alias}"
    if one.api_key and one.api_key == other.api_key:
        hint = "Give each account the key of its own merchant and environment, or leave one of the two out."
        text = "Two accounts have the same API_KEY: one of them ships as the other, or is refused."
        yield Caution(text, hint=hint, obj=names, id="kaspi_delivery.W009")
    if set(one.webhook_secrets) & set(other.webhook_secrets):
        hint = "Give each account a secret of its own in Kaspi's partner console, and put it into its WEBHOOK_SECRETS."
        text = "Two accounts have the same webhook secret: who can sign for one can sign for the other."
        yield Caution(text, hint=hint, obj=names, id="kaspi_delivery.W010")


def _idle(account: conf.Account) -> Iterator[CheckMessage]:
    if account.environment == "sandbox":
        hint = 'Write ENVIRONMENT="production" and its key; silence this on a server that is for trying out.'
        text = "ENVIRONMENT is sandbox: orders are booked, and no courier comes."
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W011")
    if account.base_url.startswith("http://"):
        hint = "Leave BASE_URL out: Kaspi's own address is the default."
        text = "BASE_URL is plain http to this machine: nothing reaches Kaspi."
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W012")
