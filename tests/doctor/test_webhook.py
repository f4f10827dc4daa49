"""The test webhook: it arrives signed over real sockets, or the line says what to compare."""

import json
from dataclasses import replace

import pytest

from kaspi_delivery_django.client import TestWebhook
from kaspi_delivery_django.doctor import webhook
from kaspi_delivery_django.doctor.webhook import Wait
from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from tests.conftest import NOON
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def send(account, shop_url):
    """Have the sandbox send a test webhook; return the finding."""

    def run(url=shop_url, seconds=20, **changes):
        return webhook.check(replace(account, **changes), url, Wait(seconds=seconds))

    return run


def row(**changes):
    """Return an event as the inbox keeps it."""
    return WebhookEvent(event_id="wh_1", account="default", state="ignored", received_at=NOON, **changes)


def test_it_arrives(send, kaspi):
    """One POST that books nothing, one event in the inbox, marked as a test."""
    assert send().verdict == "pass"
    assert WebhookEvent.objects.get().error == "a test event"
    assert [request.path for request in kaspi.requests] == ["/v1/webhooks/test"]
    assert (Delivery.objects.count(), ApiCall.objects.count(), kaspi.deliveries) == (0, 0, {})


def test_an_address_that_nobody_listens_at(send):
    """The path that it must have, and what else to look at."""
    found = send(url="http://127.0.0.1:1/kaspi/webhook/", seconds=0.1)
    assert (found.verdict, "Nothing arrived signed" in found.says) == ("fail", True)
    assert "end with /kaspi/webhook/" in found.todo


def test_another_secret_at_kaspi(send, kaspi, caplog):
    """It arrives and is refused: the todo names the words that are in the log then."""
    kaspi.webhooks._secret = "another-webhook-secret-of-thirty-two-chars"
    found = send(seconds=1)
    assert found.verdict == "fail"
    assert "'webhook rejected'" in found.todo
    assert "KASPI_DELIVERY_WEBHOOK_SECRETS" in found.todo
    assert "webhook rejected: account=default" in caplog.text
    assert not WebhookEvent.objects.filter(received_count__gt=0).exists()


def test_without_a_secret_nothing_is_sent(send, kaspi):
    """It would be refused."""
    found = send(webhook_secrets=())
    assert (found.verdict, kaspi.requests) == ("fail", [])


def test_plain_http_is_for_this_machine(send, kaspi):
    """Kaspi asks for https."""
    found = send(url="http://shop.example/kaspi/webhook/")
    assert (found.verdict, "https" in found.todo, kaspi.requests) == ("fail", True, [])


@pytest.mark.parametrize(
    ("fault", "todo"),
    [
        (Fault(status=429, retry_after=7), "again in 7 s"),
        (Fault(status=422), "--webhook-url"),
        (Fault(status=404), "BASE_URL"),
        (Fault(status=500), "ask Kaspi"),
        (Fault(drop="before"), "ask Kaspi"),
    ],
)
def test_kaspi_does_not_send_one(send, kaspi, fault, todo):
    """Each answer has its own remedy."""
    kaspi.faults.add(replace(fault, operation="test_webhook"))
    found = send()
    assert found.verdict == "fail"
    assert todo in found.todo


def test_the_sandbox_went_away(send):
    """Of the bundled one it says what to start."""
    assert "kaspi_sandbox" in send(environment="local", base_url="http://127.0.0.1:1").todo


@pytest.mark.parametrize(
    ("changes", "verdict", "says"),
    [
        ({}, "pass", "arrived signed at"),
        ({"attempt": 2}, "fail", "at attempt 2"),
        ({"received_count": 2}, "fail", "within 5 s"),
    ],
)
def test_how_it_arrived(account, changes, verdict, says):
    """At the first attempt, or too late for that."""
    found = webhook.judge(account, row(**changes), url="https://shop.example/", waited_s=30)
    assert found.verdict == verdict
    assert says in found.says


def test_one_that_cannot_be_read_has_arrived_all_the_same(send, kaspi, monkeypatch):
    """The secret is right, and the line says so: what Kaspi sends is named instead."""
    monkeypatch.setattr("kaspi_delivery_django.sandbox.webhooks.Event.body", body_without_data)
    found = send()
    assert (found.verdict, "address and secret are right" in found.says) == ("yours", True)
    assert "data is missing or no object" in found.says


def body_without_data(event):
    """Return a body with no more than an id and a type."""
    return json.dumps({"eventId": event.event_id, "type": event.type}).encode()


def test_one_that_moved_nothing_though_it_named_a_parcel_of_ours(send, kaspi, monkeypatch):
    """A test event is recognised by its id, and takes no effect whatever it holds."""
    Order.objects.create()
    Delivery.objects.update(delivery_id="dlv_test", external_order_id="test", status="accepted")
    assert send().verdict == "pass"
    assert (Delivery.objects.get().status, Delivery.objects.get().attention) == ("accepted", "")


def test_an_answer_without_an_event_id(send, monkeypatch):
    """There is nothing to wait for."""
    monkeypatch.setattr(
        "kaspi_delivery_django.client.http.KaspiClient.send_test_webhook",
        lambda *_arguments: TestWebhook(event_id="", status="queued"),
    )
    found = send()
    assert (found.verdict, "has no event id" in found.says) == ("yours", True)
    assert not WebhookEvent.objects.exists()


def test_one_that_came_to_another_account_is_no_dead_letter(send, account, monkeypatch):
    """It is recognised there too, once its id is known."""
    stray = row(type="delivery.created", body="{}", environment=account.environment, error="no delivery of ours")
    stray.account, stray.state, stray.event_id = "astana", "parked", "wh_stray"
    stray.save()
    monkeypatch.setattr(
        "kaspi_delivery_django.client.http.KaspiClient.send_test_webhook",
        lambda *_arguments: TestWebhook(event_id="wh_stray", status="queued"),
    )
    assert send(seconds=0).verdict == "fail"
    stray.refresh_from_db()
    assert (stray.state, stray.error) == ("ignored", "a test event")


def test_one_of_another_account(account):
    """Two accounts with one secret: the address decides."""
    arrived = row()
    arrived.account = "astana"
    found = webhook.judge(account, arrived, url="https://shop.example/", waited_s=30)
    assert (found.verdict, "account astana" in found.says) == ("fail", True)


def test_one_of_another_account_is_found_when_the_time_is_over(account):
    """Only then: the account's own may still come."""
    arrived = row(type="delivery.created", body="{}", environment=account.environment)
    arrived.account = "astana"
    arrived.save()
    assert webhook._wait_for("wh_1", account, Wait(seconds=0)) == arrived


def test_the_path_of_an_account_has_its_alias(account):
    """So that it can be compared with the partner console's."""
    found = webhook.judge(replace(account, alias="almaty"), None, url="https://shop.example/", waited_s=30)
    assert "/kaspi/webhook/almaty/" in found.todo


def test_routed_by_hand_the_end_of_the_path_is_known(account, settings):
    """The rest is the shop's."""
    settings.ROOT_URLCONF = "tests.doctor.no_urls"
    assert "end with webhook/" in webhook.judge(account, None, url="https://shop.example/", waited_s=30).todo


def test_waiting_is_bounded_and_looks_again(account, monkeypatch):
    """The caller's clock and pause decide how often."""
    ticks, pauses = iter([0, 0, 1, 2]), []
    monkeypatch.setattr(webhook, "POLL_S", 1)
    patience = Wait(seconds=2, pause=pauses.append, ticks=lambda: next(ticks))
    assert webhook._wait_for("wh_none", account, patience) is None
    assert pauses == [1, 1]


@pytest.mark.parametrize(
    "url",
    ["shop.example/kaspi/", "ftp://shop.example/", "https://", "https://a@shop.example/", "https://:b@shop.example/"],
)
def test_what_is_no_address(account, url):
    """And one with a password in it would be printed."""
    with pytest.raises(ValueError, match="whole address"):
        webhook.address_of(url, account)


def test_the_alias_takes_its_place_in_the_address(account):
    """For a shop of several accounts."""
    url = "https://shop.example/kaspi/webhook/{account}/"
    assert webhook.address_of(url, account) == "https://shop.example/kaspi/webhook/default/"
