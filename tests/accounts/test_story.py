"""Two merchants' parcels from the order to the door, with the same ids at both of their Kaspis."""

import pytest

from kaspi_delivery_django.models import Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from tests.accounts.merchants import ALIASES, credentials, order_in

pytestmark = pytest.mark.django_db

LIFE = ["accepted", "in_transit", "out_for_delivery", "delivered"]


def test_each_parcel_is_booked_and_delivered_by_its_own_merchant(fakes, drain, deliver_webhooks, fake_clock):
    """The ids of deliveries, orders and events are the same at both: a webhook moves only its own merchant's."""
    for alias in ALIASES:
        order_in(alias)
    drain()
    parcels = {delivery.account: delivery for delivery in Delivery.objects.all()}
    assert len({(one.external_order_id, one.delivery_id, one.status) for one in parcels.values()}) == 1
    for alias in ALIASES:
        [post] = [request for request in fakes[alias].requests if request.method == "POST"]
        [booked] = fakes[alias].deliveries_for("order-1")
        assert (post.status, booked.request["dropoff"]["address"]) == (201, f"Abay 1, {alias}")
        assert deliver_webhooks(alias) == [200]
    for alias, statuses in (("almaty", ["delivered", "created"]), ("astana", ["delivered", "delivered"])):
        for status in LIFE:
            fake_clock.advance(minutes=10)
            fakes[alias].move(parcels[alias].delivery_id, status)
            assert deliver_webhooks(alias) == [200]
        assert list(Delivery.objects.order_by("account").values_list("status", flat=True)) == statuses
        steps = StatusChange.objects.filter(delivery=parcels[alias], applied=True).order_by("pk")
        assert list(steps.values_list("to_status", flat=True)) == ["created", *LIFE]
    events = WebhookEvent.objects.values_list("account", "event_id")
    assert len({event_id for _account, event_id in events}) < len(events)


def test_a_parked_event_is_applied_in_its_own_account(drain, fakes, post_webhook, fake_clock):
    """Not to another merchant's delivery of the same name and id."""
    fakes["almaty"].webhook_url = None
    fakes["almaty"].faults.add(Fault(operation="create", drop="after"))
    order_in("almaty")
    drain()
    [booked] = fakes["almaty"].deliveries_for("order-1")
    document = {"eventId": "wh_x", "type": "delivery.created", "attempt": 1, "data": booked.to_event()}
    [secret] = credentials("astana")["WEBHOOK_SECRETS"]
    assert post_webhook(document, secret=secret, url="/kaspi/webhook/astana/").json() == {"status": "parked"}
    fake_clock.advance(minutes=1)
    drain()
    assert Delivery.objects.get().delivery_id == booked.delivery_id
    assert WebhookEvent.objects.get().state == "parked"
