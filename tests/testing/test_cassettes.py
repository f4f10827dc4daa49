"""A test records a cassette, and another one is held to it."""

import json

import pytest
from django.test import override_settings

from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.cassettes import CassetteError
from kaspi_delivery_django.sandbox.replay import StoryError
from kaspi_delivery_django.testing import kaspi_sandbox
from kaspi_delivery_django.testing.environment import api_key_of, secret_of
from tests.shop.models import Order

pytestmark = pytest.mark.django_db

NUMBER = 742
TWO_ACCOUNTS = {
    "ACCOUNTS": {
        alias: {"API_KEY": f"key-{alias}", "WEBHOOK_SECRETS": [alias * 32], "ENVIRONMENT": "sandbox"}
        for alias in ("almaty", "astana")
    },
    "ORDER_ADAPTERS": ["tests.shop.adapters.OrderAdapter"],
}


def buy(kaspi, **changes):
    """Take an order to the courier."""
    order = Order.objects.create(pk=NUMBER, **changes)
    kaspi.deliver(order, until="accepted")
    return order


def cancel(kaspi, order):
    """The customer changes his mind."""
    order.cancelled = True
    order.save()
    kaspi.send_due()
    kaspi.send_webhooks()


@pytest.fixture
def cassette(tmp_path):
    """The file that an order and its cancel leave; their rows are gone."""
    with kaspi_sandbox(record=tmp_path / "story.json") as kaspi:
        cancel(kaspi, buy(kaspi))
    for model in (ApiCall, StatusChange, WebhookEvent, Delivery, Order):
        model.objects.all().delete()
    return tmp_path / "story.json"


def test_the_same_test_records_and_replays(cassette):
    """Through the shop's own view: the webhooks of the cassette are signed anew and change the status."""
    with kaspi_sandbox(replay=cassette) as kaspi:
        order = buy(kaspi)
        kaspi.assert_booked_once(order)
        kaspi.assert_status(order, "accepted")
        cancel(kaspi, order)
        kaspi.assert_cancelled(order)
        kaspi.assert_up_to_date(order)


def test_a_cassette_of_a_test_has_no_secret(cassette):
    """Nor has it what only the network needs."""
    text = cassette.read_text()
    assert api_key_of("default") not in text
    assert secret_of("default") not in text
    assert [next(iter(entry)) for entry in json.loads(text)["story"]] == [
        "request",
        "webhook",
        "webhook",
        "request",
        "webhook",
    ]


def test_another_request_fails_with_its_difference(cassette):
    """The failure shows what changed, and how to record the story again."""
    with pytest.raises(AssertionError) as failed, kaspi_sandbox(replay=cassette) as kaspi:
        buy(kaspi, address="Dostyk 5, Almaty")
    assert '-      "address": "Abay 1, Almaty"' in str(failed.value)
    assert '+      "address": "Dostyk 5, Almaty"' in str(failed.value)
    assert str(failed.value).endswith(f'run the test once with kaspi_sandbox(record="{cassette}").')


def test_a_request_that_is_not_made_fails(cassette):
    """A shop that forgets to cancel does not get to the end of the story."""
    with (
        pytest.raises(AssertionError, match="was not played to its end") as failed,
        kaspi_sandbox(replay=cassette) as k,
    ):
        buy(k)
    assert "Left: POST /v1/deliveries/dlv_" in str(failed.value)


def test_an_error_of_the_test_is_not_hidden(cassette):
    """What the test itself raises says more than what is left of the story."""
    with pytest.raises(ZeroDivisionError), kaspi_sandbox(replay=cassette):
        raise ZeroDivisionError


def test_a_story_is_not_changed_by_the_test(cassette):
    """A fault of the test would be silently ignored otherwise; so would a status off the route."""
    with pytest.raises(StoryError, match="has its own faults"), kaspi_sandbox(replay=cassette) as kaspi:
        kaspi.fail_next("create", status=503)
    with pytest.raises(StoryError, match="moves its deliveries itself"), kaspi_sandbox(replay=cassette) as kaspi:
        kaspi.move(buy(kaspi), "delivered")


def test_a_missing_cassette_is_named(tmp_path):
    """Before anything of the test runs, and the next sandbox opens."""
    with pytest.raises(CassetteError, match=r"none\.json cannot be read"), kaspi_sandbox(replay=tmp_path / "none.json"):
        pass
    with pytest.raises(ValueError, match="not both"), kaspi_sandbox(record="a.json", replay="b.json"):
        pass


@override_settings(KASPI_DELIVERY=TWO_ACCOUNTS)
def test_of_several_accounts_one_is_named(tmp_path):
    """The others have the usual sandbox."""
    with pytest.raises(ValueError, match="Name the account: almaty, astana"), kaspi_sandbox(record=tmp_path / "a.json"):
        pass
    with kaspi_sandbox(record=tmp_path / "a.json", account="astana") as kaspi:
        assert type(kaspi.fakes["almaty"]).__name__ == "FakeKaspi"
    assert json.loads((tmp_path / "a.json").read_text())["story"] == []
