"""Open a sandbox around a test: settings, network and clock are replaced, and put back at the end."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.core import mail
from django.test import override_settings

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.transport import DeadlineAdapter
from kaspi_delivery_django.sandbox.world import World
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.testing.credentials import api_key_of, secret_of
from kaspi_delivery_django.testing.hands import Hands
from kaspi_delivery_django.testing.network import Crossroads
from kaspi_delivery_django.testing.sandbox import KaspiSandbox

NOWHERE = "https://kaspi.invalid/delivery"  # RFC 2606: no such host, for ever

_is_open = threading.Lock()


@contextmanager
def kaspi_sandbox(*, runner: str = "worker") -> Iterator[KaspiSandbox]:
    """Be Kaspi for the length of a test.

    Each account of KASPI_DELIVERY has a Kaspi of its own in memory. Inside, the settings hold made-up keys, secrets
    and addresses, and no `KaspiClient` of this process reaches a network, the shop's own included. With the `runner`
    "worker", whatever the shop's is, nothing is sent before the test says so. Raises `RuntimeError` when another
    sandbox is open in this process, and in a process that runs no tests: its rows would be the shop's own.
    """
    if not hasattr(mail, "outbox"):  # Django's test runner and pytest-django have it made
        raise RuntimeError("A Kaspi sandbox is for tests: call django.test.utils.setup_test_environment() first.")
    if not _is_open.acquire(blocking=False):
        raise RuntimeError("A Kaspi sandbox is open in this process already: use that one, or close it first.")
    try:
        hands = Hands()
        worlds = {alias: _world(alias, hands) for alias in conf.current().accounts}
        with _settled(runner), clock.replaced(hands.now), _cut_off(worlds.values()):
            yield KaspiSandbox(worlds, hands)
    finally:
        _is_open.release()


def _world(alias: str, hands: Hands) -> World:
    return World(
        api_key=api_key_of(alias),
        webhook_secret=secret_of(alias),
        webhook_url=alias,  # the shop's address is looked up when something is sent there
        clock=hands.timestamp,
        strict=True,
    )


def _settled(runner: str) -> override_settings:
    """Keep what the shop has set, its credentials apart."""
    kept: Mapping[str, Any] = getattr(settings, conf.SETTING, {})
    options = {key: value for key, value in kept.items() if key not in (*conf.ACCOUNT_KEYS, "ACCOUNTS")}
    accounts = {alias: _account(account) for alias, account in conf.current().accounts.items()}
    changed = {**options, "ACCOUNTS": accounts, "RUNNER": runner, "MAX_REQUESTS_PER_SECOND": None}
    return override_settings(**{conf.SETTING: changed})


def _account(account: conf.Account) -> dict[str, Any]:
    """Return the account as a settings file has it. `local` is refused without DEBUG, which tests run without."""
    return {
        "API_KEY": api_key_of(account.alias),
        "WEBHOOK_SECRETS": [secret_of(account.alias)],
        "ENVIRONMENT": "sandbox" if account.environment == "local" else account.environment,
        "BASE_URL": NOWHERE,
    }


def _cut_off(worlds: Iterable[World]) -> Any:
    """Close the one door to the network that the package has, for clients that were made before as well."""
    return patch.object(DeadlineAdapter, "send", Crossroads(worlds).send)
