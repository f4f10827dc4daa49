"""The test webhook: it arrives signed over real sockets, or the line says what to compare."""

import json
from dataclasses import replace

import pytest

from kaspi_delivery_django.client import TestWebhook
from kaspi_delivery_django.doctor import probes
from kaspi_delivery_django.doctor.probes import Wait
from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from tests.conftest import NOON
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)
URL = "https://shop.example/"


@pytest.fixture
def send(account, shop_url):
    """Have the sandbox send a test webhook; return the finding."""

    def run(url=shop_url, seconds=20, **changes):
        return probes.check_webhook(replace(account, **changes), url, Wait(seconds=seconds))

    return run


@pytest.fixture
def answer_with(monkeypatch):
    """Let Kaspi answer the request for a test webhook with this event id, and send nothing."""
    name = "kaspi_delivery_django.client.http.KaspiClient.send_test_webhook"
    return lambda event_id: monkeypatch.setattr(name, lambda *_: TestWebhook(event_id=event_id, status="queued"))


def row(**changes):
    """Return an event as the inbox keeps it."""
    values = {"account": "default", "state": "ignored", "type": "delivery.created", "body": "{}", **changes}
    return WebhookEvent(event_id="wh_1", environment="sandbox", received_at=NOON, **values)


def test_it_arrives(send, kaspi):
    """One POST that books nothing, one event in the inbox, marked as a test."""
    assert send().outcome == "pass"
    assert WebhookEvent.objects.get().error == "a test event"
    assert [request.path for request in kaspi.requests] == ["/v1/webhooks/test"]
    assert (Delivery.objects.count(), ApiCall.objects.count(), kaspi.deliveries) == (0, 0, {})


def test_an_address_without_a_listener(send):
    """The path that it must have, and what else to look at."""
    found = send(url="http://127.0.0.1:1/kaspi/webhook/", seconds=0.1)
    assert (found.outcome, "Nothing arrived signed" in found.message) == ("fail", True)
    assert "end with /kaspi/webhook/" in found.todo


def test_another_secret_at_kaspi(send, kaspi, caplog):
    """It arrives and is refused: the todo names the words that are in the log then."""
    kaspi.webhooks._secret = "another-webhook-secret-of-thirty-two-chars"
    found = send(seconds=1)
    assert found.outcome == "fail"
    assert "'webhook rejected'" in found.todo
    assert "KASPI_DELIVERY_WEBHOOK_SECRETS" in found.todo
    assert "webhook rejected: account=default" in caplog.text
    assert not WebhookEvent.objects.filter(received_count__gt=0).exists()


@pytest.mark.parametrize(
    ("changes", "todo"),
    [
        ({"webhook_secrets": ()}, "Set KASPI_DELIVERY_WEBHOOK_SECRETS"),
        ({"url": "http://shop.example/kaspi/webhook/"}, "https address"),
        ({"environment": "local", "base_url": "http://127.0.0.1:1"}, "kaspi_sandbox"),
    ],
)
def test_what_cannot_arrive_is_not_asked_for(send, kaspi, changes, todo):
    """It would be refused, others could read it, or there is no sandbox to ask."""
    found = send(**changes)
    assert (found.outcome, todo in found.todo, kaspi.requests) == ("fail", True, [])


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
def test_each_answer_to_the_request_has_its_remedy(send, kaspi, fault, todo):
    """Kaspi does not send one."""
    kaspi.faults.add(replace(fault, operation="test_webhook"))
    found = send()
    assert (found.outcome, todo in found.todo) == ("fail", True)


@pytest.mark.parametrize(
    ("changes", "outcome", "message"),
    [
        ({}, "pass", "arrived signed at"),
        ({"attempt": 2}, "fail", "at attempt 2"),
        ({"received_count": 2}, "fail", "within 5 s"),
        ({"account": "astana"}, "fail", "account astana"),
    ],
)
def test_how_it_arrived(account, changes, outcome, message):
    """At the first attempt, or too late for that, or at another account with the same secret."""
    found = probes.judge_webhook(account, row(**changes), url=URL, waited_s=30)
    assert (found.outcome, message in found.message) == (outcome, True)


def test_one_that_cannot_be_read_has_arrived_all_the_same(send, kaspi, monkeypatch):
    """The secret is right, and the line says so: what Kaspi sends is named instead."""

    def body_without_data(event):
        return json.dumps({"eventId": event.event_id, "type": event.type}).encode()

    monkeypatch.setattr("kaspi_delivery_django.sandbox.webhooks.Event.body", body_without_data)
    found = send()
    assert (found.outcome, "address and secret are right" in found.message) == ("yours", True)
    assert "data is missing or no object" in found.message


def test_a_test_event_moves_nothing_though_it_names_a_parcel_of_ours(send):
    """It is recognised by its id, and takes no effect whatever it holds."""
    Order.objects.create()
    Delivery.objects.update(delivery_id="dlv_test", external_order_id="test", status="accepted")
    assert send().outcome == "pass"
    assert (Delivery.objects.get().status, Delivery.objects.get().attention) == ("accepted", "")


def test_an_answer_without_an_event_id(send, answer_with):
    """There is nothing to wait for."""
    answer_with("")
    found = send()
    assert (found.outcome, "has no event id" in found.message) == ("yours", True)
    assert not WebhookEvent.objects.exists()


def test_one_that_came_to_another_account_is_no_dead_letter(send, answer_with):
    """It is found when the time is over, because the account's own may still come, and recognised as a test."""
    stray = row(account="astana", state="parked", error="no delivery of ours")
    stray.save()
    answer_with(stray.event_id)
    assert "account astana" in send(seconds=0).message
    stray.refresh_from_db()
    assert (stray.state, stray.error) == ("ignored", "a test event")


@pytest.mark.parametrize(
    ("alias", "urls", "path"),
    [
        ("almaty", "tests.urls", "end with /kaspi/webhook/almaty/"),
        ("default", "tests.doctor.no_urls", "end with webhook/"),
    ],
)
def test_the_path_of_an_account_is_named(account, settings, alias, urls, path):
    """To compare it with the partner console's; routed by hand, its end is known."""
    settings.ROOT_URLCONF = urls
    assert path in probes.judge_webhook(replace(account, alias=alias), None, url=URL, waited_s=30).todo


def test_waiting_is_bounded_and_looks_again(account, monkeypatch):
    """The caller's clock and pause decide how often."""
    ticks, pauses = iter([0, 0, 1, 2]), []
    monkeypatch.setattr(probes, "POLL_S", 1)
    wait = Wait(seconds=2, pause=pauses.append, ticks=lambda: next(ticks))
    assert probes._wait_for("wh_none", account, wait) is None
    assert pauses == [1, 1]


@pytest.mark.parametrize(
    "url",
    ["shop.example/kaspi/", "ftp://shop.example/", "https://", "https://a@shop.example/", "https://:b@shop.example/"],
)
def test_what_is_no_address(account, url):
    """And one with a password in it would be printed."""
    with pytest.raises(ValueError, match="whole address"):
        probes.address_of(url, account)


def test_the_alias_takes_its_place_in_the_address(account):
    """For a shop of several accounts."""
    assert probes.address_of(f"{URL}kaspi/{{account}}/", account) == f"{URL}kaspi/default/"
