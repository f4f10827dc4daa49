"""System checks: one per mistake, with a hint that says what to write. No database, no network."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from kaspi_delivery_django import conf, orders
from kaspi_delivery_django.models import Delivery

TAG = "kaspi_delivery"
LIBRARIES = {"celery": ("celery",), "django_tasks": ("django.tasks", "django_tasks")}  # any one of them


def register() -> None:
    """Have Django run them with its own."""
    for check in (check_settings, check_accounts, check_adapters, check_databases, check_sqlite, check_runner):
        checks.register(check, TAG)


def check_settings(**_kwargs: Any) -> list[CheckMessage]:
    """E001: KASPI_DELIVERY cannot be read. E007: times would not be aware."""
    found: list[CheckMessage] = []
    try:
        conf.current()
    except ImproperlyConfigured as err:
        hint = f"Correct {conf.SETTING} in your settings; docs/settings.md lists its keys."
        found.append(Error(str(err), hint=hint, id="kaspi_delivery.E001"))
    if not settings.USE_TZ:
        hint = "Write USE_TZ = True: Kaspi's times are moments, not wall clocks."
        found.append(Error("USE_TZ is off.", hint=hint, id="kaspi_delivery.E007"))
    return found


def check_accounts(**_kwargs: Any) -> list[CheckMessage]:
    """W001 to W004: an account that cannot send, or cannot receive."""
    accounts = conf.current().accounts.values() if _is_readable() else ()
    return [message for account in accounts for message in _account_messages(account)]


def check_adapters(**_kwargs: Any) -> list[CheckMessage]:
    """E005: an adapter cannot be used. E006: two of them give the same ids to different orders."""
    if not _is_readable():
        return []
    try:
        adapters = orders.adapters()
    except ImproperlyConfigured as err:
        hint = 'Name importable classes, as ORDER_ADAPTERS=["shop.kaspi.ShopOrderAdapter"].'
        return [Error(str(err), hint=hint, id="kaspi_delivery.E005")]
    default = orders.OrderAdapter.external_order_id
    plain = [a for a in adapters.values() if type(a).external_order_id is default]
    if len(plain) > 1:
        names = ", ".join(type(adapter).__name__ for adapter in plain)
        hint = 'Override external_order_id, as return f"shipment-{order.pk}".'
        message = f"{names} would give different orders the same external_order_id."
        return [Error(message, hint=hint, id="kaspi_delivery.E006")]
    return []


def check_databases(**_kwargs: Any) -> list[CheckMessage]:
    """E004: orders and our tables are on different databases, so one commit cannot hold both."""
    if not _is_readable() or check_adapters():
        return []
    home = router.db_for_write(Delivery)
    apart = [m for m in orders.adapters() if router.db_for_write(m) != home]
    hint = "Route the kaspi_delivery app to the database of the orders in DATABASE_ROUTERS."
    text = "The orders and kaspi_delivery are on different databases."
    return [Error(text, hint=hint, obj=model, id="kaspi_delivery.E004") for model in apart]


def check_sqlite(**_kwargs: Any) -> list[CheckMessage]:
    """W005: SQLite's transactions begin as readers, and meet "database is locked" when they want to write."""
    database = connections.settings.get(router.db_for_write(Delivery), {})
    is_sqlite = database.get("ENGINE", "").endswith("sqlite3")
    if not is_sqlite or str(database["OPTIONS"].get("transaction_mode", "")).upper() == "IMMEDIATE":
        return []
    hint = 'Write "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20} in DATABASES.'
    return [Caution("SQLite's transactions are not IMMEDIATE.", hint=hint, id="kaspi_delivery.W005")]


def check_runner(**_kwargs: Any) -> list[CheckMessage]:
    """E008: the library of the runner is not installed, so that nothing would tell its workers."""
    runner = conf.current().runner if _is_readable() else ""
    if runner not in LIBRARIES or any(map(find_spec, LIBRARIES[runner])):
        return []
    hint = f"Run pip install 'kaspi-delivery-django[{runner.replace('_', '-')}]', or write RUNNER=\"worker\"."
    return [Error(f'RUNNER is "{runner}", which is not installed.', hint=hint, id="kaspi_delivery.E008")]


def _account_messages(account: conf.Account) -> Iterator[CheckMessage]:
    if account.environment == "local" and not settings.DEBUG:
        hint = 'Write ENVIRONMENT="production" and a key, or DEBUG = True where you develop; in tests all is well.'
        text = "ENVIRONMENT is local without DEBUG: nothing is sent and every webhook is refused."
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W001")
        return
    if not account.api_key:
        hint = 'Set KASPI_DELIVERY_API_KEY, or start with ENVIRONMENT="local", which needs no key.'
        text = "API_KEY is missing: orders wait unsent."
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W002")
    if not account.webhook_secrets:
        hint = "Set KASPI_DELIVERY_WEBHOOK_SECRETS to the secret of Kaspi's partner console."
        text = "WEBHOOK_SECRETS is missing or too short: every webhook is refused."
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W003")
    elif account.ignored_secrets:
        hint = f"Keep at most {conf.MAX_SECRETS} secrets of {conf.MIN_SECRET_LENGTH} characters."
        text = (
            f"{account.ignored_secrets} of WEBHOOK_SECRETS ignored: too short, too many, unreadable or the sandbox's."
        )
        yield Caution(text, hint=hint, obj=account.alias, id="kaspi_delivery.W004")


def _is_readable() -> bool:
    try:
        conf.current()
    except ImproperlyConfigured:
        return False
    return True
