"""The one setting, KASPI_DELIVERY: read at the moment of use, typed, and strict about its keys.

`current()` is cheap: the parsed settings are kept until the dict differs, so `override_settings`
and a changed dict both take effect at once.
"""

import copy
import difflib
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from kaspi_delivery_django import environment, statuses
from kaspi_delivery_django.client.addresses import PRODUCTION_URL, SANDBOX_URL, base_url_problem

SETTING, DEFAULT_ACCOUNT, variable_of = environment.SETTING, environment.DEFAULT_ACCOUNT, environment.variable_of
DEFAULT_ENVIRONMENT = "sandbox"
LOCAL_URL = "http://127.0.0.1:8900"  # with the next two: the defaults of the bundled sandbox
LOCAL_API_KEY = "kaspi-sandbox-local-key"
LOCAL_WEBHOOK_SECRET = "kaspi-sandbox-local-webhook-secret"  # noqa: S105  # published on purpose
BASE_URLS = {"production": PRODUCTION_URL, "sandbox": SANDBOX_URL, "local": LOCAL_URL}
LOCAL_CREDENTIALS = {"API_KEY": LOCAL_API_KEY, "WEBHOOK_SECRETS": [LOCAL_WEBHOOK_SECRET]}
RUNNERS = ("inline", "worker", "celery", "django_tasks")
ACCOUNT_KEYS = ("API_KEY", "WEBHOOK_SECRETS", "ENVIRONMENT", "BASE_URL")
ALIAS = re.compile(r"[A-Za-z0-9_-]{1,40}")
MIN_SECRET_LENGTH, ADVISED_SECRET_LENGTH = 8, 32
MAX_SECRETS = 5
MAX_KEY_LENGTH = 255
LEAST_RATE, MOST_RATE = 0.001, 10_000

Params = ParamSpec("Params")
Value = TypeVar("Value")


def without_traceback(read: Callable[Params, Value]) -> Callable[Params, Value]:
    """Have a function raise `ImproperlyConfigured` without its traceback.

    Django's error page and mail show the variables of each function that an error passed: those that read the
    settings hold keys and secrets.
    """

    @wraps(read)
    def reading(*args: Params.args, **kwargs: Params.kwargs) -> Value:
        try:
            return read(*args, **kwargs)
        except ImproperlyConfigured as err:
            text = str(err)
        del args, kwargs  # an error page would show them
        raise ImproperlyConfigured(text)

    return reading


@dataclass(frozen=True, kw_only=True)
class Account:
    """One set of Kaspi credentials. `api_key` and `webhook_secrets` are empty when not set."""

    alias: str
    environment: str
    base_url: str
    api_key: str = field(default="", repr=False)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    ignored_secrets: int = 0

    @property
    def api_key_fingerprint(self) -> str:
        """A digest that identifies the API key without revealing it; empty without a key."""
        return hashlib.sha256(self.api_key.encode()).hexdigest()[:16] if self.api_key else ""

    @property
    def short_secrets(self) -> int:
        """How many of the secrets that are used are shorter than is good."""
        return sum(len(secret) < ADVISED_SECRET_LENGTH for secret in self.webhook_secrets)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """KASPI_DELIVERY, parsed. Rates are per second and worker, None for no cap."""

    accounts: Mapping[str, Account]
    order_adapters: tuple[str, ...] = ()
    runner: str = "inline"
    max_requests_per_second: float | None = 10
    max_dispatch_age: timedelta = timedelta(hours=24)
    refresh_after: timedelta = timedelta(minutes=30)
    cancel_check_interval: timedelta = timedelta(minutes=5)
    tracking_hosts: tuple[str, ...] = ("track.kaspi.kz",)
    final_statuses: tuple[str, ...] = ()
    relay: Mapping[str, Any] = field(default_factory=dict, repr=False)
    messages: Mapping[str, Any] = field(default_factory=dict, repr=False)


@without_traceback
def from_env(**overrides: Any) -> dict[str, Any]:
    """Return the KASPI_DELIVERY dict from the environment; keywords win.

    Reads KASPI_DELIVERY_API_KEY, …_WEBHOOK_SECRETS (comma-separated), …_ENVIRONMENT, …_BASE_URL,
    …_RUNNER and …_MAX_REQUESTS_PER_SECOND; and for each alias in …_ACCOUNTS (comma-separated) the
    first four of its own, as KASPI_DELIVERY_ALMATY_API_KEY; and …_RELAY_URL, …_RELAY_SECRETS and …_RELAY_EVENTS of one
    endpoint, "default". Each of them may name a file instead, as KASPI_DELIVERY_API_KEY_FILE; the file wins over the
    variable. Raises `ImproperlyConfigured` for an unknown keyword, for a file that cannot be read, and for aliases that
    would share their variables.
    """
    refuse_unknown(overrides, KEYS, SETTING)
    return {**environment.read(), **overrides}


_parsed: tuple[Mapping[str, Any], bool, Settings] | None = None


@without_traceback
def current() -> Settings:
    """Return the settings as they are now. Raises `ImproperlyConfigured` when they are wrong."""
    global _parsed  # noqa: PLW0603  # a cache of one, replaced as a whole
    raw, debug = getattr(settings, SETTING, {}), settings.DEBUG
    if _parsed is None or _parsed[1] is not debug or _parsed[0] != raw:
        parsed = parse(raw, debug=debug)
        _parsed = (copy.deepcopy(raw), debug, parsed)
    return _parsed[2]


def account(alias: str) -> Account | None:
    """Return the account of this alias, or None when the settings have none."""
    return current().accounts.get(alias)


def is_final(status: str) -> bool:
    """Return whether a status is final, by Kaspi's documentation or by FINAL_STATUSES."""
    return status in statuses.TERMINAL or (status not in statuses.RANKS and status in current().final_statuses)


@without_traceback
def parse(raw: Mapping[str, Any], *, debug: bool) -> Settings:
    """Return the typed settings in a KASPI_DELIVERY dict, or raise `ImproperlyConfigured`."""
    if not isinstance(raw, Mapping):
        raise ImproperlyConfigured(f"{SETTING} must be a dict, or conf.from_env(...).")
    refuse_unknown(raw, KEYS, SETTING)
    options: dict[str, Any] = {key.lower(): read(raw[key], key) for key, read in _OPTION_READERS.items() if key in raw}
    return Settings(accounts=_accounts(raw, debug=debug), **options)


def _accounts(raw: Mapping[str, Any], *, debug: bool) -> dict[str, Account]:
    several: Any = raw.get("ACCOUNTS", {})
    if not isinstance(several, Mapping):
        raise ImproperlyConfigured(f"{SETTING}['ACCOUNTS'] must be a dict of alias to account.")
    flat: dict[str, Any] = {key: raw[key] for key in ACCOUNT_KEYS if key in raw}
    shared = {key: flat[key] for key in flat if key in {"ENVIRONMENT", "BASE_URL"}}
    found: dict[str, Account] = {}
    for alias, own in several.items():
        _refuse_nameless(alias, own)
        try:
            found[alias] = _account(alias, {**_inherited(shared, own), **own}, debug)
        except ImproperlyConfigured as err:
            raise ImproperlyConfigured(f"In the account {alias!r}: {err}") from None
    if not several or any(flat[key] for key in flat.keys() - shared.keys()):  # a variable may be set to nothing
        if DEFAULT_ACCOUNT in found:
            raise ImproperlyConfigured(f"{SETTING} has {DEFAULT_ACCOUNT!r} twice: as flat keys and in ACCOUNTS.")
        found[DEFAULT_ACCOUNT] = _account(DEFAULT_ACCOUNT, flat, debug)
    return found


def _inherited(shared: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what an account takes over: an address belongs to its environment."""
    here = shared.get("ENVIRONMENT", DEFAULT_ENVIRONMENT)
    is_elsewhere = own.get("ENVIRONMENT", here) != here
    return {key: value for key, value in shared.items() if not (is_elsewhere and key == "BASE_URL")}


def _refuse_nameless(alias: Any, own: Any) -> None:
    if not isinstance(alias, str) or not ALIAS.fullmatch(alias):
        raise ImproperlyConfigured(
            f"{SETTING}['ACCOUNTS'] has the alias {alias!r}; write 1 to 40 ASCII letters, digits,"
            " - or _: it is part of the webhook's address."
        )
    if not isinstance(own, Mapping):
        raise ImproperlyConfigured(f"{SETTING}['ACCOUNTS'][{alias!r}] must be a dict.")


def _account(alias: str, raw: Mapping[str, Any], debug: bool) -> Account:  # noqa: FBT001  # private
    refuse_unknown(raw, ACCOUNT_KEYS, f"{SETTING}['ACCOUNTS'][{alias!r}]")
    environment = raw.get("ENVIRONMENT", DEFAULT_ENVIRONMENT)
    if not isinstance(environment, str) or environment not in BASE_URLS:
        raise ImproperlyConfigured(f"{SETTING}['ENVIRONMENT'] must be one of {', '.join(BASE_URLS)}.")
    own = {key: value for key, value in raw.items() if value}
    if environment == "local":
        own = {**LOCAL_CREDENTIALS, **own} if debug else {}
    given = _texts(own.get("WEBHOOK_SECRETS", ()), "WEBHOOK_SECRETS")
    trusted = _trusted(given, is_local=environment == "local")
    return Account(
        alias=alias,
        environment=environment,
        base_url=_base_url(raw.get("BASE_URL") or BASE_URLS[environment], environment),
        api_key=_api_key(own.get("API_KEY", "")),
        webhook_secrets=trusted,
        ignored_secrets=len(given) - len(trusted),
    )


def _base_url(value: Any, environment: str) -> str:
    base_url = _text(value, "BASE_URL")
    if problem := base_url_problem(base_url):
        raise ImproperlyConfigured(f"{SETTING}['BASE_URL']: {problem}.")
    if environment == "production" and not base_url.startswith("https://"):
        raise ImproperlyConfigured(f"{SETTING}['BASE_URL'] must be https:// in production.")
    return base_url.rstrip("/")


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise ImproperlyConfigured(f"{SETTING}['{key}'] must be a text.")
    return value.strip()


def _api_key(value: Any) -> str:
    api_key = _text(value, "API_KEY")
    if not api_key.isascii() or not api_key.isprintable() or len(api_key) > MAX_KEY_LENGTH:
        raise ImproperlyConfigured(f"{SETTING}['API_KEY'] must be at most 255 printable ASCII characters.")
    return api_key


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ImproperlyConfigured(f"{SETTING}['{key}'] must be a list of texts.")
    return tuple(value)


def _trusted(secrets: tuple[str, ...], *, is_local: bool) -> tuple[str, ...]:
    """Return the secrets that can be trusted: long enough, and not published; a check counts the others."""
    published = set() if is_local else {LOCAL_WEBHOOK_SECRET}
    texts = [text for text in map(str.strip, secrets) if text.isprintable()]  # surrogates stand for bytes
    return tuple(text for text in texts if len(text) >= MIN_SECRET_LENGTH and text not in published)[:MAX_SECRETS]


def _runner(value: Any, key: str) -> str:
    if value not in RUNNERS:
        raise ImproperlyConfigured(f"{SETTING}['{key}'] must be one of {', '.join(RUNNERS)}.")
    return str(value)


def _rate(value: Any, key: str) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not LEAST_RATE <= value <= MOST_RATE:
        raise ImproperlyConfigured(f"{SETTING}['{key}'] must be a number from {LEAST_RATE} to {MOST_RATE}, or None.")
    return float(value)


def _age(value: Any, key: str) -> timedelta:
    if not isinstance(value, timedelta) or value <= timedelta(0):
        raise ImproperlyConfigured(f"{SETTING}['{key}'] must be a timedelta above 0.")
    return value


def _interval(value: Any, key: str) -> timedelta:
    if value in (0, None) and not isinstance(value, bool):
        return timedelta(0)
    if not isinstance(value, timedelta) or value < timedelta(0):
        raise ImproperlyConfigured(f"{SETTING}['{key}'] must be a timedelta, or 0 to switch it off.")
    return value


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ImproperlyConfigured(f"{SETTING}['{key}'] must be a dict.")
    return copy.deepcopy(dict(value))


_OPTION_READERS = {
    "ORDER_ADAPTERS": _texts,
    "RUNNER": _runner,
    "MAX_REQUESTS_PER_SECOND": _rate,
    "MAX_DISPATCH_AGE": _age,
    "REFRESH_AFTER": _age,
    "CANCEL_CHECK_INTERVAL": _interval,
    "TRACKING_HOSTS": _texts,
    "FINAL_STATUSES": _texts,
    "RELAY": _mapping,
    "MESSAGES": _mapping,
}
KEYS = (*ACCOUNT_KEYS, "ACCOUNTS", *_OPTION_READERS)


def refuse_unknown(raw: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Raise `ImproperlyConfigured`, with the nearest right one, for a key that is not known."""
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.4)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
            raise ImproperlyConfigured(f"{where} has no key {key!r}.{hint}")
