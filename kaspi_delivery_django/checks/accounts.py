"""Each account by itself, what no two of them may share, and what no account in use should have."""

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution

from kaspi_delivery_django import conf
from kaspi_delivery_django.checks.readable import readable_accounts
from kaspi_delivery_django.client.wire import API_PATH

_VERSION = re.compile(r"v[0-9]+", re.IGNORECASE)
KASPIS = {environment: urlsplit(conf.BASE_URLS[environment]).hostname for environment in ("production", "sandbox")}


def check_accounts(**_kwargs: Any) -> list[CheckMessage]:
    """W001 to W004, W024: an account that cannot send, or cannot receive. W033: a short secret.

    E009, W008: it would send something else.
    """
    return [message for account in readable_accounts() for message in _messages(account)]


def check_shared_credentials(**_kwargs: Any) -> list[CheckMessage]:
    """W009, W010: two accounts with the same key or secret, so that one can be taken for the other."""
    own = [account for account in readable_accounts() if account.environment != "local"]
    return [message for one, other in combinations(own, 2) for message in _shared(one, other)]


def check_accounts_in_use(**_kwargs: Any) -> list[CheckMessage]:
    """W011, W012: an account of a running shop whose orders no courier comes for."""
    accounts = () if settings.DEBUG else readable_accounts()
    return [message for account in accounts if account.environment != "local" for message in _idle(account)]


def _messages(account: conf.Account) -> Iterator[CheckMessage]:
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
