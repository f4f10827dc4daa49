"""An order that changes hands, and an account that comes, goes, or cannot be told."""

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery, reissue_delivery, request_delivery, retry_delivery
from kaspi_delivery_django.services.outbox import circuit_breaker, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.accounts.merchants import credentials, order_in
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def move(order, city):
    """Save the order with an address in another city."""
    order.address = f"Abay 1, {city}"
    order.save()


def without(settings, alias):
    """Take an account out of the settings."""
    own = {name: account for name, account in settings.KASPI_DELIVERY["ACCOUNTS"].items() if name != alias}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ACCOUNTS": own}


@pytest.mark.parametrize("threads", [1, 4], ids=["one thread", "threads"])
def test_an_order_that_changes_hands_without_a_save_goes_with_its_new_account(fakes, threads):
    """An update() sends no signal: who ships it, and under which name, is asked right before it is sent."""
    order = order_in("almaty")
    Order.objects.filter(pk=order.pk).update(address="Abay 1, astana", phone="+7 727 111 0007")
    Worker(log=lambda _line: None, threads=threads).sweep(within_s=10)
    [delivery] = Delivery.objects.all()
    assert (delivery.account, delivery.external_order_id, delivery.status) == ("astana", "order-7", "created")
    assert ApiCall.objects.get().idempotency_key == "order-7"
    assert fakes["almaty"].requests == []


def test_a_name_that_another_order_has_by_then_waits_for_staff(fakes, drain):
    """It can be sent under no name: neither under the old one, nor under the other order's."""
    order_in("almaty", 1)
    drain()
    late = order_in("almaty", 2)
    Order.objects.filter(pk=late.pk).update(phone="+7 727 111 0001")
    drain()
    delivery = Delivery.objects.get(object_id=str(late.pk))
    assert (delivery.attention, delivery.delivery_id) == ("adapter_failed", None)


def test_an_order_that_was_not_sent_yet_goes_with_its_new_account(fakes, drain):
    """One delivery, booked by the merchant that is to ship it now."""
    order = order_in("almaty")
    move(order, "astana")
    drain()
    assert [(one.account, one.status) for one in Delivery.objects.all()] == [("astana", "created")]
    assert fakes["almaty"].requests == []


def test_its_name_and_its_key_go_with_it(fakes, drain):
    """What Kaspi is told is what the adapter says now."""
    order = order_in("almaty")
    order.phone = "+7 727 111 0005"
    move(order, "astana")
    drain()
    [request] = fakes["astana"].requests
    assert (request.idempotency_key, request.status) == ("order-5", 201)


def test_an_order_that_was_booked_stays_where_it_is(fakes, drain):
    """A save never books a second parcel, with no other merchant either."""
    order = order_in("almaty")
    drain()
    move(order, "astana")
    drain()
    assert [one.account for one in Delivery.objects.all()] == ["almaty"]
    assert fakes["astana"].requests == []


def test_a_booked_order_that_names_another_account_costs_no_more(fakes, drain, django_assert_num_queries):
    """One statement that saves it, and one look, at every save."""
    order = order_in("almaty")
    drain()
    for city in ("almaty", "astana"):
        with django_assert_num_queries(2):
            move(order, city)


def test_an_order_whose_request_was_built_stays_where_it_is(fakes, drain):
    """It may have left: Kaspi's answer is not known yet."""
    fakes["almaty"].webhook_url = None
    fakes["almaty"].faults.add(Fault(operation="create", drop="after"))
    order = order_in("almaty")
    drain()
    move(order, "astana")
    drain()
    assert [(one.account, one.calls.get().state) for one in Delivery.objects.all()] == [("almaty", "unknown")]
    assert fakes["astana"].requests == []


def test_a_name_that_the_other_account_has_already_waits_for_a_person(fakes, drain):
    """The order stays, unsent, and is not mistaken for the other one."""
    order_in("astana")
    order = order_in("almaty")
    move(order, "astana")
    delivery = Delivery.objects.get(object_id=str(order.pk))
    assert (delivery.account, delivery.attention) == ("almaty", "adapter_failed")


def test_a_worker_that_looked_before_the_move_sends_nothing(fakes, monkeypatch, turnable):
    """Its key and its circuit breaker were the other account's."""
    order = order_in("almaty")
    call = ApiCall.objects.get()
    circuit_breaker.trip(call.delivery, until=turnable.now, reason="a 429")
    admit = circuit_breaker.admit

    def meanwhile(*args):
        move(order, "astana")
        return admit(*args)

    monkeypatch.setattr(circuit_breaker, "admit", meanwhile)
    assert not sender.send(call.pk)
    assert [kaspi.requests for kaspi in fakes.values()] == [[], []]


def test_booked_anew_it_goes_with_its_new_account(fakes, drain):
    """After the cancel, and because a person asked for it."""
    order = order_in("almaty")
    drain()
    cancel_delivery(Delivery.objects.get())
    drain()
    move(order, "astana")
    reissue_delivery(Delivery.objects.get())
    drain()
    assert list(Delivery.objects.order_by("generation").values_list("account", "external_order_id", "status")) == [
        ("almaty", "order-1", "cancelled"),
        ("astana", "order-1-2", "created"),
    ]


def test_two_saves_that_disagree_make_one_delivery(fakes, at_once):
    """The database allows one account for an order, whoever is faster."""
    order_in("almaty")
    [order] = Order.objects.all()
    Delivery.objects.all().delete()
    other = Order.objects.get()
    other.address = "Abay 1, astana"
    at_once(lambda: request_delivery(order), lambda: request_delivery(other))
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize("alias", [["almaty"], None, 5, "karaganda"])
def test_an_account_that_cannot_be_told_waits_for_a_person(shop, alias, monkeypatch):
    """Whatever the adapter returns, no order is lost."""
    monkeypatch.setattr("tests.accounts.merchants.CityAdapter.account", lambda _self, _order: alias)
    order_in("almaty")
    delivery = Delivery.objects.get()
    assert (delivery.attention, delivery.external_order_id) == ("adapter_failed", None)


def test_saved_again_it_goes_with_the_right_account_and_environment(fakes, drain, shop):
    """It was set aside under the first account, which is only where it waited."""
    shop("astana", ENVIRONMENT="production")
    order = order_in("karaganda")
    assert Delivery.objects.get().environment == "sandbox"
    move(order, "astana")
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.account, delivery.environment, delivery.status) == ("astana", "production", "created")


def test_retried_it_goes_with_the_right_account_and_environment(fakes, drain, shop):
    """The same by the button, without a save."""
    shop("astana", ENVIRONMENT="production")
    order = order_in("karaganda")
    Order.objects.filter(pk=order.pk).update(address="Abay 1, astana")
    retry_delivery(Delivery.objects.get())
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.account, delivery.environment, delivery.status) == ("astana", "production", "created")


def test_cancelled_before_it_had_a_name_it_is_abandoned(fakes, drain, shop):
    """The wish finds it, wherever it waits."""
    shop("astana", ENVIRONMENT="production")
    order = order_in("karaganda")
    order.cancelled = True
    move(order, "astana")
    drain()
    assert ApiCall.objects.get().state == "abandoned"
    assert fakes["astana"].requests == []


def test_a_booked_order_whose_account_cannot_be_told_any_more_is_flagged(fakes, drain, shop):
    """No second row is made for it, in no environment."""
    shop("astana", ENVIRONMENT="production")
    order = order_in("astana")
    drain()
    move(order, "karaganda")
    delivery = Delivery.objects.get()
    assert (delivery.account, delivery.attention) == ("astana", "adapter_failed")


def test_an_account_that_is_gone_leaves_its_calls_to_a_person(fakes, drain, settings, shop):
    """They are neither sent with another key nor lost; the others' go."""
    shop("karaganda", **credentials("karaganda"))
    order_in("almaty")
    order_in("astana")
    without(settings, "almaty")
    drain()
    found = Delivery.objects.order_by("account").values_list("account", "attention", "status")
    assert list(found) == [("almaty", "configuration_changed", ""), ("astana", "", "created")]


def test_put_back_it_goes_on_where_it_was(fakes, drain, settings, shop):
    """A retry sends what waited."""
    order_in("almaty")
    without(settings, "almaty")
    drain()
    shop("almaty", **credentials("almaty"))
    retry_delivery(Delivery.objects.get())
    drain()
    assert Delivery.objects.get().status == "created"


def test_an_unsent_order_of_an_account_that_is_gone_follows_its_adapter(fakes, drain, settings):
    """Saved again under another alias, it waits for one retry, and is shipped."""
    order = order_in("almaty")
    without(settings, "almaty")
    drain()
    move(order, "astana")
    retry_delivery(Delivery.objects.get())
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.account, delivery.status, delivery.attention) == ("astana", "created", "")


def test_an_alias_changes_with_its_rows(fakes, drain, deliver_webhooks, settings, shop, turnable):
    """What docs/accounts.md writes: a booking of unknown outcome is replayed, and webhooks find their delivery."""
    fakes["almaty"].faults.add(Fault(operation="create", drop="after"))
    order_in("almaty")
    drain()
    without(settings, "almaty")
    shop("alatau", **credentials("almaty"))
    for model in (Delivery, WebhookEvent):
        model.objects.filter(account="almaty").update(account="alatau")
    Order.objects.update(address="Abay 1, alatau")
    turnable.turn(minutes=5)
    drain()
    [booked] = fakes["almaty"].deliveries_for("order-1")
    fakes["almaty"].webhooks.deliver_due(turnable.timestamp(), lambda *_: 200)  # those to the old address
    fakes["almaty"].webhook_url = "/kaspi/webhook/alatau/"
    fakes["almaty"].move(booked.delivery_id, "accepted")
    assert deliver_webhooks("almaty") == [200]
    delivery = Delivery.objects.get()
    assert (delivery.account, delivery.delivery_id, delivery.status) == ("alatau", booked.delivery_id, "accepted")
