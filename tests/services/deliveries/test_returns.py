"""Returns: deliveries back to the shop, kept apart from their order's deliveries."""

from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.test import Client

from kaspi_delivery_django import services, tracking
from kaspi_delivery_django.client import Contact, Location
from kaspi_delivery_django.exceptions import CannotReissue, CannotReturn, UsageError
from kaspi_delivery_django.models import Attention, Delivery, PendingAction
from kaspi_delivery_django.serializers import TrackingSerializer
from kaspi_delivery_django.services import bulk_actions
from kaspi_delivery_django.services.deliveries import identities, payloads
from kaspi_delivery_django.services.maintenance.backfill import enqueue
from kaspi_delivery_django.services.maintenance.cancel_sweep import CancelSweep
from kaspi_delivery_django.signals import delivery_status_changed
from kaspi_delivery_django.stats import days, estimates, recent
from tests.conftest import NOON
from tests.services.conftest import fresh
from tests.services.deliveries.conftest import save
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order

pytestmark = pytest.mark.django_db
LIFE = ("accepted", "in_transit", "out_for_delivery", "delivered")


@pytest.fixture
def travel(move, fake_clock):
    """Have Kaspi bring a parcel to the end of its way; return the delivery as it is then."""

    def bring(delivery, *statuses):
        for status in statuses or LIFE:
            fake_clock.advance(minutes=10)
            move(delivery, status)
        return delivery

    return bring


@pytest.fixture
def delivered(booked, travel):
    """Return a delivery that its customer has."""
    return travel(booked)


@pytest.fixture
def returned(delivered, drain):
    """Return the booked return of a delivered parcel."""
    back = services.request_return(delivered, reason="too small")
    drain()
    return fresh(back)


def record_of(kaspi, delivery):
    """Return the request that the sandbox received."""
    [record] = kaspi.deliveries_for(delivery.external_order_id)
    return record.request


def test_a_return_is_the_way_back(returned, delivered, kaspi):
    """Contacts and places are swapped, the parcel is the same; name, key and generation are the return's own."""
    there, back = record_of(kaspi, delivered), record_of(kaspi, returned)
    assert (back["pickup"], back["dropoff"], back["parcel"]) == (there["dropoff"], there["pickup"], there["parcel"])
    assert returned.external_order_id == f"{delivered.external_order_id}-return"
    assert returned.calls.get().idempotency_key == returned.external_order_id
    assert (returned.generation, returned.is_return, returned.status) == (1, True, "created")
    assert (returned.order, returned.returned_delivery()) == (delivered.order, delivered)
    assert (returned.customer_name, returned.return_reason) == (delivered.dropoff_name, "too small")
    assert (returned.phone_tail, returned.name_key) == (delivered.phone_tail, delivered.name_key)  # found by the same
    assert list(delivered.returns()) == [returned]


def test_a_return_is_booked_once(returned, delivered, drain):
    """Also after it has ended: only staff open its next generation, under its next number."""
    assert services.request_return(delivered) == returned
    services.cancel_delivery(returned, reason="kept after all")
    drain()
    assert services.request_return(delivered).pk == returned.pk
    following = services.reissue_delivery(returned)
    drain()
    following.refresh_from_db()
    assert following.external_order_id == f"{delivered.external_order_id}-return-2"
    assert (following.generation, following.status, following.returned_delivery()) == (2, "created", delivered)
    assert services.request_return(delivered) == following
    with pytest.raises(CannotReissue, match="later delivery"):
        services.reissue_delivery(returned)


@pytest.mark.django_db(transaction=True)
def test_eight_requests_at_once_book_one_return(delivered, at_once, drain, kaspi):
    """Each is answered with the same row; the constraint holds where no lock is taken."""
    found = at_once(*[lambda: services.request_return(delivered)] * 8)
    assert len({back.pk for back in found}) == 1
    drain()
    [back] = delivered.returns()
    assert len(kaspi.deliveries_for(back.external_order_id)) == 1
    copy = Delivery.objects.get(pk=back.pk)
    copy.pk, copy.external_order_id, copy.delivery_id, copy._state.adding = None, "another", None, True
    with pytest.raises(IntegrityError), transaction.atomic():
        copy.save()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"status": ""}, "does not have the parcel"),
        ({"status": "accepted"}, "does not have the parcel"),
        ({"status": "in_transit"}, "not arrived yet"),
        ({"status": "at_the_hub"}, "not arrived yet"),
        ({"status": "cancelled"}, "does not have the parcel"),
        ({"status": "lost", "final_at": NOON}, "without having been picked up"),
        ({"status": "delivered", "returned_generation": 1}, "a return itself"),
    ],
)
def test_only_what_the_customer_has_is_returned(make_linked, columns, words):
    """Each refusal gives the reason, and nothing is written; a new status that is final counts after a pickup."""
    delivery = make_linked(**columns)
    with pytest.raises(CannotReturn, match=words):
        services.request_return(delivery)
    assert Delivery.objects.count() == 1
    if delivery.final_at:  # the courier had the parcel, and staff know where it is
        delivery.history.create(to_status="in_transit", at=NOON, source="webhook", notify_after=NOON, created_at=NOON)
        assert services.request_return(delivery).is_return


def test_the_cancel_of_the_order_cancels_no_return(returned, delivered, kaspi, drain, fake_clock):
    """Neither a save, nor the sweep, nor the adapter's answer right before a return is sent."""
    save(Order.objects.get(), cancelled=True)
    fake_clock.advance(minutes=10)
    CancelSweep().run()
    drain()
    returned.refresh_from_db()
    assert (returned.status, returned.cancel_requested_at, returned.attention) == ("created", None, "")
    services.cancel_delivery(returned, reason="the customer was not at home")
    drain()
    again = services.reissue_delivery(returned)
    drain()
    assert (fresh(again).status, fresh(again).attention) == ("created", "")


def test_saves_and_the_sweep_of_orders_book_nothing_beside_a_return(returned, delivered, monkeypatch):
    """The order is delivered: its deliveries are looked up without its returns."""
    monkeypatch.setattr(OrderAdapter, "orders_to_enqueue", lambda _self: Order.objects.all(), raising=False)
    order = Order.objects.get()
    order.save()
    assert services.request_delivery(order) == delivered
    assert sum((found["booked"] for found in enqueue(OrderAdapter(), batch=10)), 0) == 0
    adapter = identities.adapter_of(order)
    assert list(identities.deliveries_of(adapter, order)) == [delivered]
    assert tracking.delivery_of(order) == delivered
    assert not delivered.has_successor()
    assert Delivery.objects.count() == 2


def test_a_return_keeps_the_account_and_name_of_its_delivery(delivered, drain, kaspi, monkeypatch):
    """Whatever the order's are by then; and it is booked outside opening hours too."""
    monkeypatch.setattr(OrderAdapter, "external_order_id", lambda _self, order: f"new-{order.pk}", raising=False)
    monkeypatch.setattr(OrderAdapter, "wants_delivery", lambda _self, _order: False)
    monkeypatch.setattr(OrderAdapter, "not_before", lambda _self, _order: NOON.replace(year=2099), raising=False)
    back = services.request_return(delivered)
    drain()
    back.refresh_from_db()
    assert (back.status, back.external_order_id) == ("created", f"{delivered.external_order_id}-return")


def test_the_adapter_may_change_the_way_back(delivered, drain, kaspi, monkeypatch):
    """`build_return` gets the order and the swapped request; what it raises is flagged, and staff retry."""
    office = Location(address="Office 5", contact=Contact(name="Returns", phone="+7 727 222 0000"))

    def build_return(_self, order, request):
        if not order.address:
            raise UsageError("Weigh the parcel first.")
        return type(request)(pickup=request.pickup, dropoff=office, parcel=request.parcel)

    monkeypatch.setattr(OrderAdapter, "build_return", build_return, raising=False)
    Order.objects.update(address="")
    back = services.request_return(delivered)
    drain()
    back.refresh_from_db()
    call = back.calls.get()
    assert (back.attention, call.state, call.error_message) == ("adapter_failed", "stuck", "Weigh the parcel first.")
    for paid in (True, False):  # a save is no answer for a return
        save(Order.objects.get(), paid=paid)
    assert fresh(back).attention == Attention.ADAPTER_FAILED
    Order.objects.update(address="elsewhere")
    services.retry_delivery(back)
    drain()
    assert record_of(kaspi, back)["dropoff"]["address"] == "Office 5"


def test_an_adopted_delivery_is_returned_as_its_order_is_built(delivered, drain, kaspi):
    """Where the contacts that were sent are unknown or removed, `build_request` gives them."""
    Delivery.objects.update(**{f"{side}_{part}": "" for side in ("pickup", "dropoff") for part in ("name", "address")})
    back = services.request_return(delivered)
    drain()
    assert record_of(kaspi, back)["dropoff"] == record_of(kaspi, delivered)["pickup"]


def test_an_edit_of_the_order_does_not_flag_its_return(returned, drain, fake_clock, monkeypatch):
    """The way back was sent, and follows no order, whatever `build_return` makes of it."""

    def build_return(_self, order, request):
        return replace(request, dropoff=replace(request.dropoff, notes=order.address))

    monkeypatch.setattr(OrderAdapter, "build_return", build_return, raising=False)
    Order.objects.update(address="elsewhere")
    fake_clock.advance(days=1)
    drain()
    assert fresh(returned).attention == ""


def test_signals_carry_that_it_is_a_return(delivered, drain, travel, connect_only):
    """A receiver that marks an order as delivered checks `delivery.is_return`."""
    found = []

    def record(delivery, change, **_kwargs):
        found.append((delivery.is_return, change.to_status, delivery.order))

    connect_only(delivery_status_changed, record)
    back = services.request_return(delivered)
    drain()
    travel(fresh(back))
    assert found == [(True, status, delivered.order) for status in ("created", *LIFE)]


def test_the_customer_sees_the_return_below_the_delivery(returned, delivered, travel):
    """One page for both links; in JSON it is an object of its own, with words about a way back."""
    travel(returned, "accepted", "in_transit", "out_for_delivery")
    seen = tracking.tracking_for(tracking.token_of(returned))
    assert seen == tracking.tracking_for(tracking.token_of(delivered)) == tracking.track(returned)
    document = TrackingSerializer(seen).data
    assert (document["status"], document["is_final"], document["returned"]["label"]) == (
        "delivered",
        True,
        "On the way to the shop",
    )
    page = Client().get(seen.path).content.decode()
    assert page.index("kaspi-way") < page.index('class="kaspi-return"') < page.index("On the way to the shop")
    assert "data-kaspi-source" in page  # the page goes on reading: the return is under way
    travel(returned, "delivered")
    assert "data-kaspi-source" not in Client().get(seen.path).content.decode()


def test_a_return_that_did_not_take_place_is_not_shown(returned, delivered, drain, django_assert_num_queries):
    """And a delivery without a return costs its page no query more."""
    services.cancel_delivery(returned)
    drain()
    assert tracking.track(delivered).returned is None
    Delivery.objects.filter(pk=returned.pk).delete()
    with django_assert_num_queries(2):
        tracking.track(delivered)


def test_a_return_is_no_parcel_that_a_customer_received(returned, delivered, travel, fake_clock, monkeypatch):
    """Neither in the days' table, nor in the time to the door, nor in the estimate at checkout."""
    travel(returned)
    monkeypatch.setattr(estimates, "LEAST_PARCELS", 1)
    assert estimates.estimate("Almaty", "Almaty").count == 1
    assert days.read()[-1].parcels == {"booked": 1, "delivered": 1, "cancelled": 0}
    assert recent.durations(fake_clock.now).deliveries == 1


def test_a_return_without_a_name_or_an_order_is_refused(delivered):
    """The order is deleted, or its name is too long."""
    Delivery.objects.filter(pk=delivered.pk).update(external_order_id="x" * 125)
    with pytest.raises(CannotReturn, match="too long"):
        services.request_return(delivered)
    Order.objects.all().delete()
    with pytest.raises(CannotReturn, match="gone"):
        services.request_return(delivered)
    assert payloads.edited(delivered) == {}


@pytest.mark.django_db(transaction=True)
def test_a_queued_return_is_booked_by_the_worker(delivered, fake_clock):
    """As each action of several rows."""
    User.objects.create_superuser("operator")
    bulk_actions.queue(PendingAction.Name.RETURN, [delivered.pk], reason="too small", asked_by="operator")
    assert bulk_actions.run_pending(limit=10) == 1
    assert [back.return_reason for back in delivered.returns()] == ["too small"]
