"""A shop of two merchants, each with its own sandbox."""

import pytest

from kaspi_delivery_django.sandbox.adapter import SandboxAdapter
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.services.outbox import claims, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.accounts.merchants import ALIASES, ByAddress, CityAdapter, credentials
from tests.admin import conftest as desk

staff = desk.staff


@pytest.fixture
def shop(settings):
    """Set two accounts; return the function that changes one of them."""
    own = {alias: credentials(alias) for alias in ALIASES}
    settings.KASPI_DELIVERY = {
        "ORDER_ADAPTERS": [f"{CityAdapter.__module__}.{CityAdapter.__name__}"],
        "RUNNER": "worker",
        "MAX_REQUESTS_PER_SECOND": None,
        "ACCOUNTS": own,
    }
    claims.log_missing_key.cache_clear()  # it logs once in a process

    def change(alias, **changes):
        accounts = settings.KASPI_DELIVERY["ACCOUNTS"]
        changed = {**accounts, alias: {**accounts.get(alias, {}), **changes}}
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ACCOUNTS": changed}

    return change


@pytest.fixture
def fakes(shop, fake_clock):
    """Return each merchant's Kaspi by the alias; both give the same ids, because they do not know each other."""
    found = {
        alias: FakeKaspi(
            api_key=own["API_KEY"],
            webhook_secret=own["WEBHOOK_SECRETS"][0],
            webhook_url=f"/kaspi/webhook/{alias}/",
            clock=fake_clock.timestamp,
            seed=1,
        )
        for alias, own in ((alias, credentials(alias)) for alias in ALIASES)
    }
    addresses = {credentials(alias)["BASE_URL"]: SandboxAdapter(kaspi) for alias, kaspi in found.items()}
    with sender.transport(ByAddress(addresses)):
        yield found


@pytest.fixture
def drain(fakes):
    """Send whatever is due now, as one round of a worker does."""
    return lambda: Worker(log=lambda _line: None).run_round()


@pytest.fixture
def deliver_webhooks(fakes, client, fake_clock):
    """Let a merchant's Kaspi post its due webhooks into the shop; return how they were answered."""

    def post(url, headers, body):
        sent = {name: value for name, value in headers.items() if name.startswith("X-")}
        return client.post(url, body, content_type="application/json", headers=sent).status_code

    def run(alias):
        return [sent.status for sent in fakes[alias].webhooks.deliver_due(fake_clock.timestamp(), post)]

    return run
