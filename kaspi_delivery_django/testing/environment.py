"""Replace a test's surroundings: settings, network, and the transaction that a `TestCase` never commits."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import requests
from django.conf import settings
from django.db import connections, transaction
from django.test import TestCase, override_settings

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.transport import DeadlineAdapter
from kaspi_delivery_django.sandbox import cassettes
from kaspi_delivery_django.sandbox.adapter import SandboxAdapter
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.replay import RecordingKaspi, ReplayedKaspi
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.testing.clock import FakeClock

INVALID_URL = "https://kaspi.invalid/delivery"  # RFC 2606: the host never exists


def api_key_of(alias: str) -> str:
    """Return the API key of an account in a test."""
    return f"test-key-of-{alias}"


def secret_of(alias: str) -> str:
    """Return the webhook secret of an account in a test; it is long enough for the checks."""
    return f"the-webhook-secret-in-tests-of-{alias}"


def fake_kaspi(alias: str, clock: FakeClock, *, record: bool = False, replay: Path | None = None) -> FakeKaspi:
    """Return a strict `FakeKaspi` for the account, which may keep a cassette; or the Kaspi of a recorded cassette."""
    account: dict[str, Any] = {
        "api_key": api_key_of(alias),
        "webhook_secret": secret_of(alias),
        "webhook_url": alias,  # `webhooks.post` resolves the shop's URL when it sends
    }
    if replay:
        return ReplayedKaspi(cassettes.read(replay), clock=clock.timestamp, **account)
    kind = RecordingKaspi if record else FakeKaspi
    return kind(clock=clock.timestamp, strict=True, **account)


def fake_settings(runner: str) -> override_settings:
    """Replace the runner, the rate limit and the credentials of every account; keep the other settings."""
    current: Mapping[str, Any] = getattr(settings, conf.SETTING, {})
    options = {key: value for key, value in current.items() if key not in (*conf.ACCOUNT_KEYS, "ACCOUNTS")}
    accounts = {alias: _account_settings(account) for alias, account in conf.current().accounts.items()}
    changed = {**options, "ACCOUNTS": accounts, "RUNNER": runner, "MAX_REQUESTS_PER_SECOND": None}
    return override_settings(**{conf.SETTING: changed})


def _account_settings(account: conf.Account) -> dict[str, Any]:
    """Return the account as settings. `local` is refused without DEBUG, which is off in tests."""
    return {
        "API_KEY": api_key_of(account.alias),
        "WEBHOOK_SECRETS": [secret_of(account.alias)],
        "ENVIRONMENT": "sandbox" if account.environment == "local" else account.environment,
        "BASE_URL": INVALID_URL,
    }


def no_network(fakes: Iterable[FakeKaspi]) -> AbstractContextManager[Any]:
    """Send the requests of every `KaspiClient` to the fakes, also of clients that exist already."""
    return patch.object(DeadlineAdapter, "send", _Router(fakes).send)


class _Router:
    """Routes each request to the `FakeKaspi` of its API key; an unknown key gets a 401."""

    def __init__(self, fakes: Iterable[FakeKaspi]) -> None:
        self._adapters = {fake.api_key: SandboxAdapter(fake) for fake in fakes}

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Return the response, or raise the network error, of a fake."""
        key = request.headers.get("x-api-key", "")
        adapter = self._adapters.get(key) or next(iter(self._adapters.values()))
        return adapter.send(request, **options)


@contextmanager
def committed() -> Iterator[None]:
    """Run the `on_commit` callbacks of the block at its end, the package's and the shop's.

    Inside a `TestCase` Django only records them. They are removed from its record, so that a
    `captureOnCommitCallbacks` around the block does not run them again.
    """
    using = db_alias()
    already = len(connections[using].run_on_commit)
    try:
        with TestCase.captureOnCommitCallbacks(using=using, execute=True):
            yield
    finally:
        del connections[using].run_on_commit[already:]


def check_no_transaction() -> None:
    """Raise `RuntimeError` inside a transaction of the test: the package sends nothing there."""
    try:
        with transaction.atomic(using=db_alias(), durable=True):
            pass
    except RuntimeError as err:
        raise RuntimeError("Nothing is sent inside a transaction: leave transaction.atomic() first.") from err
