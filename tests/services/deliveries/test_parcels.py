"""Orders that go in several parcels: one delivery for each, from one order."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django import services, tracking
from kaspi_delivery_django.exceptions import CannotBook
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.serializers import TrackingSerializer
from kaspi_delivery_django.services.deliveries import identities
from kaspi_delivery_django.services.errors import AdapterFailed
from kaspi_delivery_django.services.outbox import claims
from tests.services.conftest import fresh
from tests.shop.adapters import OrderAdapter, WarehousesAdapter, a_request
from tests.shop.models import Line, Order

pytestmark = pytest.mark.django_db
KEYS = ("almaty", "box-b2", "shymkent")


@pytest.fixture
def warehouses(use_adapter):
    """Ship from warehouses."""
    use_adapter("WarehousesAdapter")


@pytest.fixture
def order(warehouses, kaspi):
    """Return a saved order of three parcels; its lines are saved after it."""
    with transaction.atomic():
        order = Order.objects.create()
        Line.objects.bulk_create(Line(order=order, title=key) for key in KEYS)
    return order


@pytest.fixture
def split(order, drain):
    """Return the booked deliveries of the parcels, by key."""
    drain()
    drain()
    return parcels()


def parcels():
    """Return the newest delivery of each parcel by its key, as the table has it."""
    return {one.parcel: one for one in Delivery.objects.outbound().order_by("generation", "pk")}


def test_each_parcel_is_booked_from_its_own_warehouse(split, order, kaspi):
    """One row, one name, one key and one pickup for each; none has the order's own name."""
    assert list(split) == list(KEYS)
    for key, delivery in split.items():
        [record] = kaspi.deliveries_for(f"order-{order.pk}-{key}")
        assert record.request["pickup"]["address"] == f"The warehouse of {key}"
        assert (delivery.delivery_id, delivery.generation, delivery.order) == (record.delivery_id, 1, order)
        assert delivery.calls.get().idempotency_key == delivery.external_order_id == record.external_order_id
    assert len(kaspi.deliveries) == len(KEYS)


def test_a_save_changes_nothing_about_booked_parcels(split, order, django_assert_num_queries, drain):
    """It has as few statements as for one parcel, and books no courier more."""
    with django_assert_num_queries(4):
        order.save()
    assert services.request_delivery(order).parcel == "almaty"
    drain()
    assert (Delivery.objects.count(), ApiCall.objects.filter(kind="create").count()) == (3, 3)


def test_cancelling_the_order_cancels_all_that_can_be_cancelled(split, order, drain, kaspi):
    """One that a courier has is flagged."""
    kaspi.move(split["box-b2"].delivery_id, "in_transit")
    Delivery.objects.filter(pk=split["box-b2"].pk).update(status="in_transit")
    order.cancelled = True
    order.save()
    drain()
    found = {key: (one.status, one.attention) for key, one in parcels().items()}
    cancelled = ("cancelled", "")
    assert found == {"almaty": cancelled, "box-b2": ("in_transit", "cancel_refused"), "shymkent": cancelled}


def test_an_order_that_is_cancelled_between_two_parcels_sends_no_more(order, kaspi, drain):
    """Each parcel asks the adapter again before its own first byte."""
    claims.claim(ApiCall.objects.get().pk)
    Order.objects.update(cancelled=True)
    drain()
    assert {key: one.status for key, one in parcels().items()} == {
        "almaty": "",
        "box-b2": "cancelled",
        "shymkent": "cancelled",
    }


def test_a_refused_parcel_is_rebooked_alone(order, kaspi, drain):
    """Its generations are counted separately, and a save follows the newest of each."""
    kaspi.faults.add(Fault(operation="create", status=422))
    drain()
    drain()
    refused = next(one for one in parcels().values() if one.attention == "refused")
    following = services.reissue_delivery(refused)
    drain()
    following.refresh_from_db()
    assert following.external_order_id == f"order-{order.pk}-{refused.parcel}-2"
    assert (following.status, following.parcel, refused.has_successor()) == ("created", refused.parcel, True)
    order.save()
    assert Delivery.objects.count() == 4
    assert not any(one.has_successor() for key, one in parcels().items() if key != refused.parcel)


def test_an_order_that_was_booked_as_a_whole_is_rebooked_as_one(warehouses, kaspi, drain):
    """Whatever its adapter would split by then: a second generation replaces the first."""
    kaspi.faults.add(Fault(operation="create", status=422))
    order = Order.objects.create()
    drain()
    Line.objects.bulk_create(Line(order=order, title=key) for key in KEYS)
    services.reissue_delivery(Delivery.objects.get())
    drain()
    assert [record.external_order_id for record in kaspi.deliveries.values()] == [f"order-{order.pk}-2"]


def test_a_parcel_whose_key_is_gone_waits_for_staff(order, kaspi, drain):
    """It was not sent, and is not sent as something else; the key brought back, a retry sends it."""
    claims.claim(ApiCall.objects.get().pk)
    Line.objects.filter(title="shymkent").update(title="taraz")
    drain()
    lost = Delivery.objects.get(parcel="shymkent")
    assert (lost.attention, lost.delivery_id) == ("adapter_failed", None)
    assert "no longer has this parcel's key" in lost.calls.get().error_message
    Line.objects.filter(title="taraz").update(title="shymkent")
    services.retry_delivery(lost)
    drain()
    assert (fresh(lost).status, fresh(lost).attention) == ("created", "")


@pytest.mark.parametrize("is_added", [True, False])
def test_other_parcels_after_the_booking_are_an_edit(split, order, drain, fake_clock, kaspi, is_added):
    """No courier is booked automatically for a key that is new, or perhaps only renamed; staff book what is missing."""
    with pytest.raises(CannotBook, match="has a delivery already"):
        services.book_delivery(order)
    if is_added:
        Line.objects.create(order=order, title="taraz")
    else:
        Line.objects.filter(title="almaty").delete()
    for _round in range(2):
        fake_clock.advance(days=1)
        drain()
    assert "order_edited" in {one.attention for one in parcels().values()}
    assert Delivery.objects.count() == 3
    if is_added:
        assert services.book_delivery(order).parcel == "taraz"
        drain()
        assert len(kaspi.deliveries_for(f"order-{order.pk}-taraz")) == 1


def test_staff_send_all_parcels_anyway(order, kaspi, drain):
    """The other parcels need no second decision."""
    Order.objects.update(paid=False)
    drain()
    services.retry_delivery(Delivery.objects.get(), send_anyway=True)
    drain()
    drain()
    assert [one.status for one in parcels().values()] == ["created"] * 3


def test_a_parcel_comes_back_alone(split, drain, kaspi):
    """To the warehouse that it came from."""
    Delivery.objects.update(status="delivered")
    back = services.request_return(split["box-b2"])
    drain()
    [record] = kaspi.deliveries_for(f"{split['box-b2'].external_order_id}-return")
    assert record.request["dropoff"]["address"] == "The warehouse of box-b2"
    assert (back.returned_delivery(), back.parcel) == (split["box-b2"], "box-b2")
    assert not split["almaty"].has_return()
    assert tracking.track(split["almaty"]).returned is None
    assert tracking.track(split["box-b2"]).returned.status == "created"


def test_the_customer_sees_all_parcels_on_each_of_their_pages(split, order, client):
    """One in full, the others by their status; the page reads on until the last has arrived."""
    Delivery.objects.filter(parcel="almaty").update(status="delivered")
    Delivery.objects.filter(parcel="box-b2").update(status="in_transit")
    assert tracking.delivery_of(order).parcel == "shymkent"
    seen = tracking.track(split["almaty"])
    assert (seen.status, [one.status for one in seen.others]) == ("delivered", ["in_transit", "created"])
    page = client.get(seen.path).content.decode()
    assert page.count("Another parcel of your order") == 2
    assert seen.others[0].path in page
    assert "data-kaspi-source" in page
    assert [one["label"] for one in TrackingSerializer(seen).data["others"]] == ["In transit", "Created"]
    Delivery.objects.update(status="delivered")
    assert "data-kaspi-source" not in client.get(seen.path).content.decode()


@pytest.mark.parametrize(
    "key",
    [
        "2",
        "b-2",
        "return",
        "b-Return",
        "cancel",
        "",
        "a--b",
        "-a",
        "a b",
        "алматы",
        "x" * 21,
        7,
    ],
)
def test_a_key_that_could_be_another_name_is_refused(key):
    """Names end in a parcel's key, a generation, or a word of ours."""
    assert not identities.is_parcel_key(key)


@pytest.mark.parametrize(
    ("parcels", "words"),
    [
        ({"2": a_request()}, 'such as "almaty"'),
        (["almaty"], "None or a mapping of keys to DeliveryRequests"),
        ({"almaty": None}, "None or a mapping"),
    ],
)
def test_invalid_parcels_are_flagged(warehouses, kaspi, drain, monkeypatch, parcels, words):
    """With what to return; nothing is sent or split."""
    monkeypatch.setattr(WarehousesAdapter, "parcels", lambda _self, _order: parcels)
    order = Order.objects.create()
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.attention, delivery.parcel, kaspi.deliveries) == ("adapter_failed", "", {})
    assert words in delivery.calls.get().error_message
    with pytest.raises(CannotBook):
        services.book_delivery(order)


def test_a_name_leaves_room_for_the_key_of_a_parcel(split, order):
    """Kaspi takes 128 characters."""
    own = identities.Identity("default", "sandbox", "x" * 127)
    with pytest.raises(AdapterFailed, match="too long for the key of a parcel"):
        identities.for_parcel(own, "almaty")


def test_an_adapter_without_parcels_costs_no_query_more(due, kaspi, monkeypatch):
    """Its claim never asks."""
    with CaptureQueriesContext(connection) as without:
        assert claims.claim(due.pk)
    ApiCall.objects.update(state="due", claim_token="", payload="", payload_sha256="", unknown_since=None, attempts=0)
    ApiCall.objects.update(next_attempt_at=due.next_attempt_at)
    monkeypatch.setattr(OrderAdapter, "parcels", lambda _self, _order: None, raising=False)
    with CaptureQueriesContext(connection) as captured:
        assert claims.claim(due.pk)
    assert len(captured) == len(without)


@pytest.mark.django_db(transaction=True)
def test_senders_and_saves_split_an_order_once(order, at_once, drain, kaspi):
    """And each parcel is booked once."""
    [call] = ApiCall.objects.all()
    found = at_once(*[lambda: claims.claim(call.pk), lambda: Order.objects.get().save()] * 4)
    assert len([claim for claim in found if isinstance(claim, claims.Claim)]) == 1
    assert not [end for end in found if isinstance(end, Exception)]
    assert sorted(Delivery.objects.values_list("parcel", flat=True)) == sorted(KEYS)
    drain()
    drain()
    assert len(kaspi.deliveries) == 2  # the claim above died with its process, and its lease still holds


@pytest.mark.django_db(transaction=True)
def test_the_inline_runner_sends_all_parcels(warehouses, configure, kaspi):
    """Without a worker the process that has sent the first sends the others too."""
    configure(RUNNER="inline")
    with transaction.atomic():
        order = Order.objects.create()
        Line.objects.bulk_create(Line(order=order, title=key) for key in KEYS)
    assert [one.status for one in parcels().values()] == ["created"] * 3
