"""What is replaced while a sandbox is open, and put back when it is closed."""

import subprocess
import sys
from unittest.mock import sentinel

import pytest
from django.conf import settings as django_settings
from django.core import mail
from django.db import transaction

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.transport import DeadlineAdapter
from kaspi_delivery_django.models import AccountState
from kaspi_delivery_django.services import clock, request_delivery
from kaspi_delivery_django.services.deliveries import runners
from kaspi_delivery_django.testing import kaspi_sandbox
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order
from tests.testing.conftest import REAL, TWO_ACCOUNTS

SETTINGS = {
    "nothing set": {},
    "no key": {"ENVIRONMENT": "production"},
    "local": {"ENVIRONMENT": "local"},
    "an address of one's own": {**REAL, "BASE_URL": "https://proxy.example/delivery"},
    "two accounts": {"ACCOUNTS": {"almaty": REAL, "astana": {"ENVIRONMENT": "production"}}},
    "one account and flat keys": {**REAL, "ACCOUNTS": {"almaty": REAL}},
}


class BranchAdapter(OrderAdapter):
    """Ships from the branch that the order's address names."""

    def account(self, order):
        return order.address


BRANCH_ADAPTER = f"{__name__}.BranchAdapter"


def test_the_sandbox_of_a_test_is_strict():
    """A shop's own client is held to what Kaspi recommends: a create without an idempotency key is 400."""
    with kaspi_sandbox() as kaspi:
        [fake] = kaspi.fakes.values()
        headers = {"x-api-key": fake.api_key, "Content-Type": "application/json"}
        answer = fake.handle("POST", "/v1/deliveries", headers, b"{}")
    assert (answer.status, b"idempotency_key_required" in answer.body) == (400, True)


@pytest.mark.django_db
@pytest.mark.parametrize("name", SETTINGS)
def test_any_settings_of_the_shop(settings, name):
    """An order is delivered without a credential of the shop's: no key, no secret, no address that exists."""
    adapter = BRANCH_ADAPTER if "ACCOUNTS" in SETTINGS[name] else "tests.shop.adapters.OrderAdapter"
    settings.KASPI_DELIVERY = {**SETTINGS[name], "ORDER_ADAPTERS": [adapter], "TRACKING_HOSTS": ["track.example"]}
    with kaspi_sandbox() as kaspi:
        inside = repr(django_settings.KASPI_DELIVERY)
        accounts = conf.current().accounts.values()
        assert conf.current().tracking_hosts == ("track.example",)
        order = Order.objects.create(address="almaty")
        assert kaspi.deliver(order).status == "delivered"
        kaspi.assert_up_to_date(order)
    assert not [word for word in ("real", "proxy.example", "kaspi.kz") if word in inside]
    assert all(account.base_url == "https://kaspi.invalid/delivery" and account.api_key for account in accounts)


@pytest.mark.django_db
def test_a_setting_that_is_missing_altogether(settings):
    """KASPI_DELIVERY itself may be absent, and is again afterwards."""
    del settings.KASPI_DELIVERY
    with kaspi_sandbox():
        assert conf.account("default").api_key == "test-key-of-default"
    assert not hasattr(django_settings, "KASPI_DELIVERY")


def test_the_environment_stays(settings):
    """Rows that a test's class has made before belong to it."""
    settings.KASPI_DELIVERY = {**REAL, "ENVIRONMENT": "production"}
    with kaspi_sandbox():
        assert conf.account("default").environment == "production"


@pytest.mark.django_db
def test_each_account_has_a_kaspi_of_its_own(settings):
    """Where there are several, a fault names its account, and the others go well."""
    settings.KASPI_DELIVERY = {"ORDER_ADAPTERS": [BRANCH_ADAPTER], "ACCOUNTS": TWO_ACCOUNTS}
    with kaspi_sandbox() as kaspi:
        kaspi.fail_next("create", status=503, account="almaty")
        broken, whole = (Order.objects.create(address=alias) for alias in TWO_ACCOUNTS)
        kaspi.send_due()
        kaspi.assert_not_booked(broken)
        kaspi.assert_booked_once(whole)
        assert [len(kaspi.fakes[alias].deliveries) for alias in TWO_ACCOUNTS] == [0, 1]
        with pytest.raises(ValueError, match="Name the account: almaty, astana"):
            kaspi.fail_next("create", status=503)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("runner", conf.RUNNERS)
def test_no_runner_of_the_shop_is_notified(settings, runner, monkeypatch):
    """No broker gets a message, and the sandbox sends what is due by itself."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": runner}
    monkeypatch.setattr(runners, "_run", lambda _pk: pytest.fail("a runner was notified"))
    with kaspi_sandbox() as kaspi:
        with transaction.atomic():
            order = Order.objects.create()
        assert kaspi.deliver(order).status == "delivered"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("runner", "requests"), [("worker", 0), ("inline", 1)])
def test_the_runner_is_the_tests_choice(settings, runner, requests):
    """With `worker` nothing is sent by itself; `inline` sends at the commit, to the sandbox."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    with kaspi_sandbox(runner=runner) as kaspi:
        with transaction.atomic():
            request_delivery(Order.objects.create())
        assert len(kaspi.requests) == requests


def test_a_second_sandbox_is_refused():
    """Two would mix up their clocks and networks; the first goes on."""
    with kaspi_sandbox():
        with pytest.raises(RuntimeError, match="open in this process already"), kaspi_sandbox():
            pass
        assert conf.account("default").api_key == "test-key-of-default"


def test_a_process_that_runs_no_tests_is_refused(monkeypatch):
    """It would trust a secret that is published, and write into the shop's own rows."""
    monkeypatch.delattr(mail, "outbox")
    with pytest.raises(RuntimeError, match=r"for tests: call .*setup_test_environment\(\) first"), kaspi_sandbox():
        pass


def test_all_is_put_back(settings, monkeypatch):
    """After a test that failed, and after settings that cannot be read."""
    before = (django_settings.KASPI_DELIVERY, DeadlineAdapter.send)
    monkeypatch.setattr(clock.timezone, "now", lambda: sentinel.now)
    with pytest.raises(ZeroDivisionError), kaspi_sandbox():
        1 / 0  # noqa: B018
    assert (django_settings.KASPI_DELIVERY, DeadlineAdapter.send) == before
    assert clock.now() is sentinel.now
    settings.KASPI_DELIVERY = {"ENVIRONMENT": "moon"}
    with pytest.raises(conf.ImproperlyConfigured), kaspi_sandbox():
        pass
    settings.KASPI_DELIVERY = {}
    with kaspi_sandbox():
        pass


@pytest.mark.django_db
@kaspi_sandbox()
def test_a_sandbox_is_a_decorator_too():
    """Where a test needs no handle."""
    assert conf.account("default").api_key == "test-key-of-default"
    assert not AccountState.objects.exists()


def test_pytest_is_not_required():
    """A shop with unittest imports the kit alone."""
    code = "import sys, django; django.setup(); import kaspi_delivery_django.testing; print('pytest' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
