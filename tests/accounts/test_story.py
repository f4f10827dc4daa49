"""Two merchants' parcels from the order to the door, with the same ids at both of their Kaspis."""

import pytest

from kaspi_delivery_django.models import Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from tests.accounts.merchants import ALIASES, credentials, order_in

pytestmark = pytest.mark.django_db(transaction=True)

LIFE = ["accepted", "in_transit", "out_for_delivery", "delivered"]


@pytest.fixture
def parcels(drain):
    """Return a booked delivery of each merchant by the alias."""
    for alias in ALIASES:
        order_in(alias)
    drain()
    return {delivery.account: delivery for delivery in Delivery.objects.all()}


def test_each_order_is_booked_with_its_own_merchant(parcels, fakes):
    """Once, with that merchant's key, although Kaspi's ids and the orders' names are the same at both."""
    names = {(one.external_order_id, one.delivery_id, one.status) for one in parcels.values()}
    assert set(parcels) == set(ALIASES)
    assert len(names) == 1
    for alias in ALIASES:
        [post] = [request for request in fakes[alias].requests if request.method == "POST"]
        [booked] = fakes[alias].deliveries_for("order-1")
        assert (post.status, booked.request["dropoff"]["address"]) == (201, f"Abay 1, {alias}")


def test_one_is_delivered_and_the_other_stays(parcels, fakes, deliver_webhooks, turnable):
    """The same event ids about the same delivery ids move only whose webhook it is."""
    assert [deliver_webhooks(alias) for alias in ALIASES] == [[200], [200]]
    for status in LIFE:
        turnable.turn(minutes=10)
        fakes["almaty"].move(parcels["almaty"].delivery_id, status)
        assert deliver_webhooks("almaty") == [200]
    assert dict(Delivery.objects.values_list("account", "status")) == {"almaty": "delivered", "astana": "created"}
    events = WebhookEvent.objects.values_list("account", "event_id")
    assert len({event_id for _account, event_id in events}) < len(events)


def test_both_are_delivered_in_turns(parcels, fakes, deliver_webhooks, turnable):
    """Each keeps a history of its own."""
    for status in LIFE:
        turnable.turn(minutes=10)
        for alias in ALIASES:
            fakes[alias].move(parcels[alias].delivery_id, status)
            assert set(deliver_webhooks(alias)) == {200}
    for delivery in parcels.values():
        steps = StatusChange.objects.filter(delivery=delivery, applied=True).values_list("to_status", flat=True)
        assert list(steps) == ["created", *LIFE]


def test_an_event_that_came_too_early_waits_for_its_own_merchants_delivery(drain, fakes, post_webhook, turnable):
    """Another merchant's delivery of the same name and id does not wake it."""
    fakes["almaty"].webhook_url = None
    fakes["almaty"].faults.add(Fault(operation="create", drop="after"))
    order_in("almaty")
    drain()
    [booked] = fakes["almaty"].deliveries_for("order-1")
    document = {"eventId": "wh_x", "type": "delivery.created", "attempt": 1, "data": booked.to_event()}
    [secret] = credentials("astana")["WEBHOOK_SECRETS"]
    assert post_webhook(document, secret=secret, url="/kaspi/webhook/astana/").json() == {"status": "parked"}
    turnable.turn(minutes=1)
    drain()
    assert Delivery.objects.get().delivery_id == booked.delivery_id
    assert WebhookEvent.objects.get().state == "parked"
