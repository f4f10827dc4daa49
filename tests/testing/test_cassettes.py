"""A test records a cassette, and another one is held to it."""

import json

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.cassettes import CassetteError
from kaspi_delivery_django.sandbox.replay import StoryError
from kaspi_delivery_django.testing import kaspi_sandbox
from kaspi_delivery_django.testing.environment import api_key_of, secret_of
from tests.shop.models import Order
from tests.testing.conftest import TWO_ACCOUNTS

pytestmark = pytest.mark.django_db


def buy(kaspi, **changes):
    """Take an order to the courier."""
    order = Order.objects.create(pk=742, **changes)
    kaspi.deliver(order, until="accepted")
    return order


def cancel(kaspi, order):
    """Cancel the order in the shop."""
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
    """Through the shop's own view: the webhooks of the cassette, which has no secret, are signed again."""
    text = cassette.read_text()
    assert not any(secret in text for secret in (api_key_of("default"), secret_of("default")))
    kinds = [next(iter(entry)) for entry in json.loads(text)["story"]]
    assert kinds == ["request", "webhook", "webhook", "request", "webhook"]
    with kaspi_sandbox(replay=cassette) as kaspi:
        order = buy(kaspi)
        kaspi.assert_booked_once(order)
        kaspi.assert_status(order, "accepted")
        cancel(kaspi, order)
        kaspi.assert_cancelled(order)
        kaspi.assert_up_to_date(order)


def test_another_request_fails_with_its_difference(cassette):
    """The failure shows what changed, and how to record the story again."""
    with pytest.raises(AssertionError) as failed, kaspi_sandbox(replay=cassette) as kaspi:
        buy(kaspi, address="Dostyk 5, Almaty")
    assert '-      "address": "Abay 1, Almaty"' in str(failed.value)
    assert '+      "address": "Dostyk 5, Almaty"' in str(failed.value)
    assert str(failed.value).endswith(f'run the test once with kaspi_sandbox(record="{cassette}").')


def test_a_request_that_is_not_made_fails(cassette):
    """A shop that forgets to cancel does not get to the end of the story; an error of the test itself is not hidden."""
    unplayed = r"not played to its end\. Left: POST /v1/deliveries/dlv_"
    with pytest.raises(AssertionError, match=unplayed), kaspi_sandbox(replay=cassette) as kaspi:
        buy(kaspi)
    with pytest.raises(ZeroDivisionError), kaspi_sandbox(replay=cassette):
        raise ZeroDivisionError


def test_a_story_is_not_changed_by_the_test(cassette):
    """A fault of the test would be silently ignored otherwise; so would a status off the route."""
    with pytest.raises(StoryError, match="has its own faults"), kaspi_sandbox(replay=cassette) as kaspi:
        kaspi.fail_next("create", status=503)
    with pytest.raises(StoryError, match="moves its deliveries itself"), kaspi_sandbox(replay=cassette) as kaspi:
        kaspi.move(buy(kaspi), "delivered")


def test_wrong_options(tmp_path, settings):
    """They are refused before anything of the test runs; of several accounts one is named."""
    with pytest.raises(CassetteError, match=r"none\.json cannot be read"), kaspi_sandbox(replay=tmp_path / "none.json"):
        pass
    with pytest.raises(ValueError, match="not both"), kaspi_sandbox(record="a.json", replay="b.json"):
        pass
    settings.KASPI_DELIVERY = {"ACCOUNTS": TWO_ACCOUNTS}
    with pytest.raises(ValueError, match="Name the account: almaty, astana"), kaspi_sandbox(record=tmp_path / "a.json"):
        pass
    with kaspi_sandbox(record=tmp_path / "a.json", account="astana") as kaspi:
        assert type(kaspi.fakes["almaty"]).__name__ == "FakeKaspi"
    assert json.loads((tmp_path / "a.json").read_text())["story"] == []
