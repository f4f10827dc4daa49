"""An order that moves to another account, and an account that is added, removed, renamed or invalid."""

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery, reissue_delivery, request_delivery, retry_delivery
from kaspi_delivery_django.services.outbox import circuit_breaker, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.accounts.merchants import credentials, order_in
from tests.shop.models import Order

pytestmark = pytest.mark.django_db


def move(order, city, *, is_saved=True, **values):
    """Give the order an address in another city: by a save, or by an update, which sends no signal."""
    values["address"] = f"Abay 1, {city}"
    if is_saved:
        vars(order).update(values)
        order.save()
    else:
        Order.objects.filter(pk=order.pk).update(**values)


def without(settings, alias):
    """Remove an account from the settings."""
    own = {name: account for name, account in settings.KASPI_DELIVERY["ACCOUNTS"].items() if name != alias}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ACCOUNTS": own}


def the_delivery():
    """Return the account, environment and status of the only delivery."""
    delivery = Delivery.objects.get()
    return delivery.account, delivery.environment, delivery.status


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("threads", [1, 4], ids=["one thread", "threads"])
@pytest.mark.parametrize("is_saved", [False, True])
def test_an_unsent_order_is_booked_in_its_new_account(fakes, threads, is_saved):
    """With its new name and key; without a save it is read right before it is sent."""
    order = order_in("almaty")
    move(order, "astana", is_saved=is_saved, phone="+7 727 111 0007")
    Worker(log=lambda _line: None, threads=threads).sweep(within_s=10)
    assert the_delivery() == ("astana", "sandbox", "created")
    assert Delivery.objects.get().external_order_id == ApiCall.objects.get().idempotency_key == "order-7"
    assert (fakes["almaty"].requests, len(fakes["astana"].requests)) == ([], 1)


@pytest.mark.parametrize("is_saved", [False, True])
def test_a_name_that_another_order_has_in_the_new_account_is_flagged(fakes, drain, is_saved):
    """The order is sent under no name: neither under the old one, nor under the other order's."""
    order_in("astana")
    drain()
    order = order_in("almaty")
    move(order, "astana", is_saved=is_saved)
    drain()
    delivery = Delivery.objects.get(object_id=str(order.pk))
    assert (delivery.account, delivery.attention, delivery.delivery_id) == ("almaty", "adapter_failed", None)


@pytest.mark.django_db(transaction=True)
def test_a_booked_order_stays_in_its_account(fakes, drain, django_assert_num_queries):
    """A save never books a second parcel, and costs its own statement and one query; rebooked, it moves."""
    order = order_in("almaty")
    drain()
    for city in ("almaty", "astana"):
        with django_assert_num_queries(2):
            move(order, city)
    drain()
    assert (the_delivery(), fakes["astana"].requests) == (("almaty", "sandbox", "created"), [])
    cancel_delivery(Delivery.objects.get())
    drain()
    reissue_delivery(Delivery.objects.get())
    drain()
    assert list(Delivery.objects.order_by("generation").values_list("account", "external_order_id", "status")) == [
        ("almaty", "order-1", "cancelled"),
        ("astana", "order-1-2", "created"),
    ]


def test_an_order_that_may_be_booked_stays_in_its_account(fakes, drain):
    """Kaspi's answer is not known yet."""
    fakes["almaty"].webhook_url = None
    fakes["almaty"].faults.add(Fault(operation="create", drop="after"))
    order = order_in("almaty")
    drain()
    move(order, "astana")
    drain()
    assert [(one.account, one.calls.get().state) for one in Delivery.objects.all()] == [("almaty", "unknown")]
    assert fakes["astana"].requests == []


def test_a_sender_that_read_the_call_before_the_move_sends_nothing(fakes, monkeypatch, fake_clock):
    """Its key and its circuit breaker were the other account's."""
    order = order_in("almaty")
    call = ApiCall.objects.get()
    circuit_breaker.trip(call.delivery, until=fake_clock.now, reason="a 429")
    admit = circuit_breaker.admit

    def meanwhile(*args):
        move(order, "astana")
        return admit(*args)

    monkeypatch.setattr(circuit_breaker, "admit", meanwhile)
    assert not sender.send(call.pk)
    assert [kaspi.requests for kaspi in fakes.values()] == [[], []]


@pytest.mark.django_db(transaction=True)
def test_two_saves_with_different_accounts_make_one_delivery(fakes, at_once):
    """The database allows one account for an order, whoever is faster."""
    order = order_in("almaty")
    Delivery.objects.all().delete()
    other = Order.objects.get()
    other.address = "Abay 1, astana"
    at_once(lambda: request_delivery(order), lambda: request_delivery(other))
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize("alias", [["almaty"], None, 5, "karaganda"])
def test_an_invalid_account_is_flagged(shop, alias, monkeypatch):
    """Whatever the adapter returns, no order is lost."""
    monkeypatch.setattr("tests.accounts.merchants.CityAdapter.account", lambda _self, _order: alias)
    order_in("almaty")
    delivery = Delivery.objects.get()
    assert (delivery.attention, delivery.external_order_id) == ("adapter_failed", None)


@pytest.mark.parametrize("is_saved", [False, True])
def test_a_corrected_account_is_used_with_its_environment(fakes, drain, shop, is_saved):
    """By a save, or by a retry without one; an invalid account counts as the first one until then."""
    shop("astana", ENVIRONMENT="production")
    order = order_in("karaganda")
    assert Delivery.objects.get().environment == "sandbox"
    move(order, "astana", is_saved=is_saved)
    if not is_saved:
        retry_delivery(Delivery.objects.get())
    drain()
    assert the_delivery() == ("astana", "production", "created")
    move(order, "karaganda")
    assert (the_delivery(), Delivery.objects.get().attention) == (("astana", "production", "created"), "adapter_failed")


def test_a_cancel_finds_an_order_without_an_account(fakes, drain, shop):
    """It is abandoned, in whatever environment it was flagged."""
    shop("astana", ENVIRONMENT="production")
    move(order_in("karaganda"), "astana", cancelled=True)
    drain()
    assert ApiCall.objects.get().state == "abandoned"
    assert fakes["astana"].requests == []


@pytest.mark.parametrize("is_restored", [True, False])
def test_calls_of_a_removed_account_are_flagged(fakes, drain, settings, shop, is_restored):
    """They are not sent with another key; a retry sends them once the account is restored, or another is named."""
    shop("karaganda", **credentials("karaganda"))
    order = order_in("almaty")
    order_in("astana", 2)
    without(settings, "almaty")
    drain()
    found = Delivery.objects.order_by("account").values_list("account", "attention", "status")
    assert list(found) == [("almaty", "configuration_changed", ""), ("astana", "", "created")]
    if is_restored:
        shop("almaty", **credentials("almaty"))
    else:
        move(order, "astana")
    retry_delivery(Delivery.objects.get(object_id=str(order.pk)))
    drain()
    delivery = Delivery.objects.get(object_id=str(order.pk))
    assert (delivery.account, delivery.status) == ("almaty" if is_restored else "astana", "created")


def test_an_alias_changes_with_its_rows(fakes, drain, deliver_webhooks, settings, shop, fake_clock):
    """As docs/accounts.md describes: a booking of unknown outcome is replayed, and webhooks find their delivery."""
    fakes["almaty"].faults.add(Fault(operation="create", drop="after"))
    order_in("almaty")
    drain()
    without(settings, "almaty")
    shop("alatau", **credentials("almaty"))
    for model in (Delivery, WebhookEvent):
        model.objects.filter(account="almaty").update(account="alatau")
    Order.objects.update(address="Abay 1, alatau")
    fake_clock.advance(minutes=5)
    drain()
    [booked] = fakes["almaty"].deliveries_for("order-1")
    fakes["almaty"].webhooks.deliver_due(fake_clock.timestamp(), lambda *_: 200)  # those to the old address
    fakes["almaty"].webhook_url = "/kaspi/webhook/alatau/"
    fakes["almaty"].move(booked.delivery_id, "accepted")
    assert deliver_webhooks("almaty") == [200]
    assert the_delivery() == ("alatau", "sandbox", "accepted")
