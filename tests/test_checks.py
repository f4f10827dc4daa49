"""The system checks: each red and green, without a database and without a network."""

import socket

import pytest
from django.core import checks as django_checks
from django.db import connections

from kaspi_delivery_django import checks
from kaspi_delivery_django.models import Delivery
from tests.shop.kaspi import OrderAdapter
from tests.shop.models import Order

SECRET = "a-webhook-secret-of-thirty-two-chars-or-more"
GOOD = {"API_KEY": "key", "WEBHOOK_SECRETS": [SECRET]}
ORDERS = "tests.shop.kaspi.OrderAdapter"


class GiftAdapter(OrderAdapter):
    """A second kind of order, with ids of the same form."""

    model = "shop.GiftOrder"


class CarefulGiftAdapter(GiftAdapter):
    """A second kind of order, with ids of its own."""

    def external_order_id(self, order):
        """Tell gifts from orders."""
        return f"gift-{order.pk}"


class OrdersElsewhere:
    """A router that keeps the shop's rows on a database of their own."""

    def db_for_write(self, model, **hints):
        """Send the shop's models away."""
        return "elsewhere" if model._meta.app_label == "shop" else None


@pytest.fixture(autouse=True)
def sealed(monkeypatch):
    """Let no check open a socket or ask a database."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("a check went out")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for connection in connections.all():
        monkeypatch.setattr(connection, "connect", refuse)
        monkeypatch.setattr(connection, "cursor", refuse)


@pytest.fixture
def found(settings):
    """Run the registered checks on a KASPI_DELIVERY; return the messages by their ids."""

    def run(*, debug=False, **raw):
        settings.DEBUG = debug
        settings.KASPI_DELIVERY = raw
        messages = django_checks.run_checks(tags=[checks.TAG])
        return {message.id.removeprefix("kaspi_delivery."): message for message in messages}

    return run


def test_good_settings_raise_no_message(found):
    """A shop that has set everything right is left in peace."""
    assert found(**GOOD, ORDER_ADAPTERS=[ORDERS]) == {}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"APIKEY": "key"}, "Did you mean 'API_KEY'?"),
        ({"BASE_URL": "http://kaspi.example"}, "must start with https://"),
        ({"ENVIRONMENT": ["production"]}, "must be one of"),
        ({"ACCOUNTS": {"almaty": None}}, "must be a dict"),
    ],
)
def test_e001_settings_that_cannot_be_read(found, wrong, said):
    """Unreadable settings are one error, not a crash, and no other check stumbles over them."""
    messages = found(**wrong)
    assert list(messages) == ["E001"]
    assert said in messages["E001"].msg
    assert "Correct KASPI_DELIVERY in your settings" in messages["E001"].hint


def test_e004_orders_on_another_database(found, settings):
    """One commit cannot hold an order and its delivery when they live apart."""
    settings.DATABASE_ROUTERS = [OrdersElsewhere()]
    messages = found(**GOOD, ORDER_ADAPTERS=[ORDERS])
    assert list(messages) == ["E004"]
    assert messages["E004"].msg == "The orders and kaspi_delivery are on different databases."
    assert messages["E004"].obj is Order
    assert "DATABASE_ROUTERS" in messages["E004"].hint


def test_e004_is_silent_without_adapters(found, settings):
    """A shop that books through the services alone may keep its rows where it likes."""
    settings.DATABASE_ROUTERS = [OrdersElsewhere()]
    assert found(**GOOD) == {}


def test_e004_is_silent_when_both_moved(found, settings):
    """Any database will do, as long as it is the same one."""
    router = OrdersElsewhere()
    router.db_for_write = lambda model, **_hints: "elsewhere" if model in {Order, Delivery} else None
    settings.DATABASE_ROUTERS = [router]
    assert found(**GOOD, ORDER_ADAPTERS=[ORDERS]) == {}


@pytest.mark.parametrize(
    "path", ["nowhere.Adapter", "tests.shop.kaspi.NotAnAdapter", "tests.test_orders.ClumsyAdapter"]
)
def test_e005_an_adapter_that_cannot_be_used(found, path):
    """An adapter that is not there, is none, or cannot be made is found before the first order."""
    messages = found(**GOOD, ORDER_ADAPTERS=[path])
    assert list(messages) == ["E005"]
    assert path in messages["E005"].msg
    assert 'ORDER_ADAPTERS=["shop.kaspi.ShopOrderAdapter"]' in messages["E005"].hint


def test_e006_two_adapters_with_the_same_ids(found):
    """Order 7 and gift 7 would both be order-7 at Kaspi."""
    messages = found(**GOOD, ORDER_ADAPTERS=[ORDERS, f"{__name__}.GiftAdapter"])
    assert list(messages) == ["E006"]
    assert "OrderAdapter, GiftAdapter" in messages["E006"].msg
    assert "Override external_order_id" in messages["E006"].hint


def test_e006_is_silent_when_the_ids_differ(found):
    """Two adapters are fine when one of them names its orders differently."""
    assert found(**GOOD, ORDER_ADAPTERS=[ORDERS, f"{__name__}.CarefulGiftAdapter"]) == {}


def test_e007_times_without_a_zone(found, settings):
    """Kaspi's times are moments."""
    settings.USE_TZ = False
    messages = found(**GOOD)
    assert list(messages) == ["E007"]
    assert "USE_TZ = True" in messages["E007"].hint


@pytest.mark.parametrize(("runner", "extra"), [("celery", "[celery]"), ("django_tasks", "[django-tasks]")])
def test_e008_a_runner_whose_library_is_missing(found, monkeypatch, runner, extra):
    """Nothing would tell its workers of an order."""
    monkeypatch.setattr(checks, "find_spec", lambda _name: None)
    messages = found(**GOOD, RUNNER=runner)
    assert list(messages) == ["E008"]
    assert f"kaspi-delivery-django{extra}" in messages["E008"].hint


@pytest.mark.parametrize("runner", ["inline", "worker", "celery", "django_tasks"])
def test_e008_is_silent_when_it_is_installed(found, runner):
    """Django 6 brings its own tasks; the others need no library."""
    assert found(**GOOD, RUNNER=runner) == {}


@pytest.mark.parametrize(("installed", "ids"), [("django.tasks", []), ("django_tasks", []), ("celery", ["E008"])])
def test_e008_takes_the_backport_for_djangos_own(found, monkeypatch, installed, ids):
    """Either will do."""
    monkeypatch.setattr(checks, "find_spec", lambda name: name == installed or None)
    assert list(found(**GOOD, RUNNER="django_tasks")) == ids


def test_w001_local_without_debug(found):
    """The well-known credentials are refused on a server, and the check says so."""
    messages = found(ENVIRONMENT="local")
    assert list(messages) == ["W001"]
    assert messages["W001"].obj == "default"
    assert 'ENVIRONMENT="production"' in messages["W001"].hint


def test_w001_is_silent_with_debug(found):
    """A developer needs to set nothing else."""
    assert found(debug=True, ENVIRONMENT="local") == {}


@pytest.mark.parametrize("key", ["", "  ", None])
def test_w002_no_key(found, key):
    """Without a key orders wait."""
    messages = found(**{**GOOD, "API_KEY": key})
    assert list(messages) == ["W002"]
    assert "KASPI_DELIVERY_API_KEY" in messages["W002"].hint


@pytest.mark.parametrize("secrets", [[], ["too-short"]])
def test_w003_no_secret_to_trust(found, secrets):
    """Without one secret of the right length every webhook is refused."""
    messages = found(**{**GOOD, "WEBHOOK_SECRETS": secrets})
    assert list(messages) == ["W003"]
    assert "KASPI_DELIVERY_WEBHOOK_SECRETS" in messages["W003"].hint


@pytest.mark.parametrize("extra", [["too-short"], [f"{number}{SECRET}" for number in range(5)]])
def test_w004_secrets_that_are_ignored(found, extra):
    """A secret beside a good one that is too short or one too many is named, not used."""
    messages = found(**{**GOOD, "WEBHOOK_SECRETS": [SECRET, *extra]})
    assert list(messages) == ["W004"]
    assert "at most 5 secrets of 32 characters" in messages["W004"].hint


def test_each_account_is_checked(found):
    """The message names the account it is about."""
    messages = found(ACCOUNTS={"almaty": GOOD, "astana": {"WEBHOOK_SECRETS": [SECRET]}})
    assert [(name, message.obj) for name, message in messages.items()] == [("W002", "astana")]


def test_no_message_shows_a_credential(found):
    """What `manage.py check` prints may be pasted into an issue."""
    short = "a-short-secret"
    messages = found(API_KEY="the-api-key", WEBHOOK_SECRETS=[SECRET, short])
    shown = "".join(str(message) for message in messages.values())
    assert messages
    assert not any(credential in shown for credential in ("the-api-key", SECRET, short))
