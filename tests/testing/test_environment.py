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

REAL = {"API_KEY": "a-real-key", "WEBHOOK_SECRETS": ["a-real-secret-of-thirty-two-characters"]}
SETTINGS = {
    "nothing set": {},
    "no key": {"ENVIRONMENT": "production"},
    "local": {"ENVIRONMENT": "local"},
    "production": {**REAL, "ENVIRONMENT": "production"},
    "an address of one's own": {**REAL, "BASE_URL": "https://proxy.example/delivery"},
    "two accounts": {"ACCOUNTS": {"almaty": REAL, "astana": {"ENVIRONMENT": "production"}}},
    "one account and flat keys": {**REAL, "ACCOUNTS": {"almaty": REAL}},
}
ADAPTERS = ["tests.shop.adapters.OrderAdapter"]


class BranchAdapter(OrderAdapter):
    """Ships from the branch that the order's address names."""

    def account(self, order):
        return order.address


@pytest.fixture
def two_accounts(settings):
    """A shop with two merchants."""
    path = f"{__name__}.BranchAdapter"
    settings.KASPI_DELIVERY = {"ORDER_ADAPTERS": [path], "ACCOUNTS": {"almaty": REAL, "astana": REAL}}


def test_the_sandbox_of_a_test_is_strict():
    """A shop's own client is held to what Kaspi recommends: a create without an idempotency key is 400."""
    with kaspi_sandbox() as kaspi:
        [fake] = kaspi.fakes.values()
        headers = {"x-api-key": fake.api_key, "Content-Type": "application/json"}
        answer = fake.handle("POST", "/v1/deliveries", headers, b"{}")
    assert (answer.status, b"idempotency_key_required" in answer.body) == (400, True)


@pytest.mark.django_db
@pytest.mark.parametrize("own", [pytest.param(own, id=name) for name, own in SETTINGS.items()])
def test_an_order_is_delivered_whatever_the_shop_has_set(settings, own):
    """No key, another environment, several accounts: a test needs no settings of its own."""
    settings.KASPI_DELIVERY = {**own, "ORDER_ADAPTERS": ADAPTERS}
    if "ACCOUNTS" in own:
        settings.KASPI_DELIVERY["ORDER_ADAPTERS"] = [f"{__name__}.BranchAdapter"]
    with kaspi_sandbox() as kaspi:
        order = Order.objects.create(address="almaty")
        assert kaspi.deliver(order).status == "delivered"
        kaspi.assert_up_to_date(order)


@pytest.mark.django_db
def test_a_setting_that_is_missing_altogether(settings):
    """KASPI_DELIVERY itself may be absent, and is again afterwards."""
    del settings.KASPI_DELIVERY
    with kaspi_sandbox():
        assert conf.account("default").api_key == "test-key-of-default"
    assert not hasattr(django_settings, "KASPI_DELIVERY")


@pytest.mark.parametrize("own", [pytest.param(own, id=name) for name, own in SETTINGS.items()])
def test_no_credential_of_the_shop_is_in_the_settings(settings, own):
    """Neither a key, nor a secret, nor an address that exists; and a key that was left out is there."""
    settings.KASPI_DELIVERY = own
    with kaspi_sandbox():
        inside = repr(django_settings.KASPI_DELIVERY)
        accounts = conf.current().accounts.values()
    assert not [word for word in ("real", "proxy.example", "kaspi.kz") if word in inside]
    assert all(account.base_url == "https://kaspi.invalid/delivery" and account.api_key for account in accounts)


def test_the_environment_stays(settings):
    """Rows that a test's class has made before belong to it."""
    settings.KASPI_DELIVERY = {**REAL, "ENVIRONMENT": "production"}
    with kaspi_sandbox():
        assert conf.account("default").environment == "production"


def test_the_shops_other_options_stay(settings):
    """Adapters, hosts and ages are the shop's own."""
    settings.KASPI_DELIVERY = {"TRACKING_HOSTS": ["track.example"], "ORDER_ADAPTERS": ADAPTERS}
    with kaspi_sandbox():
        assert conf.current().tracking_hosts == ("track.example",)
        assert conf.current().order_adapters == tuple(ADAPTERS)


@pytest.mark.django_db
def test_each_account_has_a_kaspi_of_its_own(two_accounts):
    """A booking is made at the account's Kaspi, whose webhooks come to the account's address."""
    with kaspi_sandbox() as kaspi:
        order = Order.objects.create(address="astana")
        kaspi.deliver(order)
        assert [len(kaspi.fakes[alias].deliveries) for alias in ("almaty", "astana")] == [0, 1]


@pytest.mark.django_db
def test_a_fault_belongs_to_an_account(two_accounts):
    """Where there are several, a fault says which, and the others go well."""
    with kaspi_sandbox() as kaspi:
        kaspi.fail_next("create", status=503, account="almaty")
        broken, whole = (Order.objects.create(address=alias) for alias in ("almaty", "astana"))
        kaspi.send_due()
        kaspi.assert_not_booked(broken)
        kaspi.assert_booked_once(whole)
        with pytest.raises(ValueError, match="Name the account: almaty, astana"):
            kaspi.fail_next("create", status=503)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("runner", conf.RUNNERS)
def test_no_runner_of_the_shops_is_told_anything(settings, runner, monkeypatch):
    """No broker is asked, and the sandbox sends what is due by itself."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": runner}
    monkeypatch.setattr(runners, "_run", lambda _pk: pytest.fail("a runner was told"))
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
    """It would trust a secret that everybody can read, and write into the shop's own rows."""
    monkeypatch.delattr(mail, "outbox")
    with pytest.raises(RuntimeError, match=r"for tests: call .*setup_test_environment\(\) first"), kaspi_sandbox():
        pass


def test_a_sandbox_that_could_not_be_opened_is_in_nobodys_way(settings):
    """Settings that cannot be read are an error, and the next test can open one."""
    settings.KASPI_DELIVERY = {"ENVIRONMENT": "moon"}
    with pytest.raises(conf.ImproperlyConfigured), kaspi_sandbox():
        pass
    settings.KASPI_DELIVERY = {}
    with kaspi_sandbox():
        pass


def test_all_is_put_back(monkeypatch):
    """After a test that failed, too."""
    before = (django_settings.KASPI_DELIVERY, DeadlineAdapter.send)
    monkeypatch.setattr(clock.timezone, "now", lambda: sentinel.now)
    with pytest.raises(ZeroDivisionError), kaspi_sandbox():
        1 / 0  # noqa: B018
    assert (django_settings.KASPI_DELIVERY, DeadlineAdapter.send) == before
    assert clock.now() is sentinel.now


@pytest.mark.django_db
@kaspi_sandbox()
def test_a_sandbox_is_a_decorator_too():
    """Where a test needs no handle."""
    assert conf.account("default").api_key == "test-key-of-default"
    assert not AccountState.objects.exists()


def test_nobody_needs_pytest():
    """A shop with unittest imports the kit alone."""
    code = (
        "import sys, django\ndjango.setup()\nimport kaspi_delivery_django.testing\n"
        "print('pytest' in sys.modules, 'kaspi_delivery_django.testing' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]
