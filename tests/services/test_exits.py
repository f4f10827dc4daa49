"""What people can do: retry, link, book anew, acknowledge; and what is refused, with which words."""

import pytest
from django.db import IntegrityError

from kaspi_delivery_django.exceptions import (
    CannotAcknowledge,
    CannotCancel,
    CannotLink,
    CannotRefresh,
    CannotReissue,
    CannotRetry,
)
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import (
    acknowledge_delivery,
    booking,
    cancel_delivery,
    claims,
    exits,
    gate,
    link_delivery,
    refresh_delivery,
    reissue_delivery,
    retry_delivery,
    settlement,
)
from kaspi_delivery_django.services.failures import AdapterFailed
from kaspi_delivery_django.services.transactions import durably
from tests.conftest import event
from tests.services.conftest import fresh
from tests.shop import kaspi
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lost(due, world, drain):
    """Return a delivery that Kaspi booked while its answer was lost: nobody tries by itself any more."""
    world.faults.add(Fault(operation="create", drop="after"))
    drain()
    ApiCall.objects.update(state="stuck", reason="outcome_unknown", next_attempt_at=None)
    Delivery.objects.update(attention="outcome_unknown")
    return Delivery.objects.get()


@pytest.fixture
def refused(due, world, drain):
    """Return a delivery that Kaspi refused."""
    world.faults.add(Fault(operation="create", status=422))
    drain()
    return Delivery.objects.get()


@pytest.fixture
def remote(world):
    """Return what Kaspi booked."""
    return lambda: next(iter(world.deliveries.values()))


def adapter_that(monkeypatch, **methods):
    """Let the shop's adapter do something else."""
    for name, method in methods.items():
        monkeypatch.setattr(kaspi.OrderAdapter, name, method, raising=False)


def creates(world):
    """Return the POSTs that would book."""
    return [request for request in world.requests if request.path.endswith("/deliveries")]


@pytest.mark.parametrize(
    ("columns", "call", "ways"),
    [
        ({}, {"state": "due"}, {"cancel", "retry", "link"}),
        ({}, {"state": "sending"}, {"cancel", "link"}),
        ({}, {"state": "unknown"}, {"cancel", "retry", "link"}),
        ({"attention": "too_old"}, {"state": "stuck"}, {"cancel", "retry", "link", "reissue", "acknowledge"}),
        ({"attention": "refused"}, {"state": "refused"}, {"cancel", "link", "reissue", "acknowledge"}),
        ({}, {"state": "abandoned"}, {"link", "reissue"}),
        ({"delivery_id": "dlv_1", "status": "created"}, {"state": "done"}, {"cancel", "refresh"}),
        ({"delivery_id": "dlv_1", "status": "in_transit"}, {"state": "done"}, {"refresh"}),
        (
            {"delivery_id": "dlv_1", "status": "in_transit", "attention": "cancel_refused"},
            {"state": "done"},
            {"refresh", "acknowledge"},
        ),
        ({"delivery_id": "dlv_1", "status": "delivered"}, {"state": "done"}, {"refresh"}),
        ({"delivery_id": "dlv_1", "status": "cancelled"}, {"state": "done"}, {"refresh", "reissue"}),
        (
            {"delivery_id": "dlv_1", "status": "cancelled", "attention": "second_parcel"},
            {"state": "done"},
            {"refresh", "acknowledge"},
        ),
    ],
)
def test_the_ways_out_follow_from_the_rows(due, turnable, columns, call, ways):
    """State by state."""
    Delivery.objects.update(**columns)
    ApiCall.objects.update(**call)
    assert exits.ways_out(Delivery.objects.get(), turnable.now) == ways


def test_a_delivery_without_a_name_cannot_be_linked(due, turnable):
    """Kaspi could confirm nothing."""
    Delivery.objects.update(external_order_id=None)
    assert "link" not in exits.ways_out(Delivery.objects.get(), turnable.now)


def test_cancel_is_refused_after_the_pickup(booked):
    """With the status in the words."""
    Delivery.objects.update(status="in_transit")
    with pytest.raises(CannotCancel, match="In transit"):
        cancel_delivery(booked)


def test_refresh_is_refused_before_there_is_an_id(due):
    """There is nothing to ask for."""
    with pytest.raises(CannotRefresh):
        refresh_delivery(due.delivery)


def test_retry_hurries_what_waits_for_its_turn(due, world, drain, turnable):
    """The operator does not want to wait for the pause."""
    world.faults.add(Fault(operation="create", drop="before"))
    drain()
    retry_delivery(due.delivery)
    drain()
    assert Delivery.objects.get().delivery_id
    assert len(world.deliveries) == 1


def test_retry_leaves_alone_what_is_being_sent(due):
    """Its lease belongs to somebody."""
    claims.take(due.pk, using="default")
    with pytest.raises(CannotRetry, match="Nothing waits"):
        retry_delivery(due.delivery)


def test_retry_starts_the_age_of_an_old_order_over(due, drain, turnable):
    """It was too old to go by itself; somebody wants it all the same."""
    turnable.turn(hours=25)
    drain()
    assert Delivery.objects.get().attention == "too_old"
    retry_delivery(due.delivery)
    drain()
    assert Delivery.objects.get().status == "created"
    assert Delivery.objects.get().attention == ""


def test_retry_never_sends_a_key_that_kaspi_knows_with_other_bytes(lost):
    """Nobody knows when Kaspi forgets that use."""
    ApiCall.objects.update(reason="key_reused")
    with pytest.raises(CannotRetry, match="another payload"):
        retry_delivery(lost)


def test_retry_never_sends_an_old_key(lost, turnable):
    """23 hours."""
    turnable.turn(hours=23)
    with pytest.raises(CannotRetry, match="too old to be safe"):
        retry_delivery(lost)


def test_retry_of_a_stuck_cancel_asks_first_and_posts_once_more(booked, world, drain, turnable):
    """The same key, the same bytes."""
    cancel_delivery(booked, reason="no")
    ApiCall.objects.filter(kind="cancel").update(
        state="stuck", reason="cancel_unknown", unknown_since=turnable.now, next_attempt_at=None
    )
    Delivery.objects.update(attention="cancel_unknown")
    retry_delivery(booked)
    assert Delivery.objects.get().attention == ""
    drain()
    assert [r.method for r in world.requests[-2:]] == ["GET", "POST"]
    assert Delivery.objects.get().status == "cancelled"


def test_retry_asks_a_mended_adapter_for_the_name(world, drain, monkeypatch):
    """It had failed before there was one."""
    with monkeypatch.context() as broken:
        adapter_that(broken, external_order_id=lambda _self, _order: 1 / 0)
        Order.objects.create()
    nameless = Delivery.objects.get()
    assert (nameless.external_order_id, nameless.attention) == (None, "adapter_failed")
    retry_delivery(nameless)
    drain()
    assert fresh(nameless).status == "created"


def test_retry_says_that_the_adapter_failed_again(world, monkeypatch):
    """And nothing changes."""
    adapter_that(monkeypatch, external_order_id=lambda _self, _order: 1 / 0)
    Order.objects.create()
    with pytest.raises(CannotRetry, match="adapter failed: ZeroDivisionError"):
        retry_delivery(Delivery.objects.get())


def test_retry_says_that_the_order_is_gone(world, monkeypatch):
    """There is nothing to ask the adapter about."""
    adapter_that(monkeypatch, external_order_id=lambda _self, _order: 1 / 0)
    Order.objects.create().delete()
    with pytest.raises(CannotRetry, match="The order is gone"):
        retry_delivery(Delivery.objects.get())


def test_b0_link_takes_what_kaspi_confirms(lost, remote, drain):
    """The id, the status and the history; it leaves the list."""
    link_delivery(lost, remote().delivery_id)
    drain()
    row = fresh(lost)
    assert (row.delivery_id, row.status, row.attention) == (remote().delivery_id, "created", "")
    assert set(ApiCall.objects.values_list("state", flat=True)) == {"done"}


@pytest.mark.parametrize("named", [b"order-0", b""])
def test_link_refuses_another_orders_delivery(lost, world, remote, drain, named):
    """Kaspi's answer names another order, or none."""
    body = b'{"deliveryId": "%s", "status": "created", "externalOrderId": "%s"}'
    world.faults.add(Fault(operation="get", body=body % (remote().delivery_id.encode(), named)))
    link_delivery(lost, remote().delivery_id)
    drain()
    assert ApiCall.objects.get(kind="link").state == "refused"
    assert fresh(lost).attention == "outcome_unknown"


def test_link_is_tried_again_with_another_id(lost, world, remote, drain):
    """One row serves every try, also after a fault."""
    link_delivery(lost, "dlv_wrong")
    drain()
    world.faults.add(Fault(operation="get", drop="before"))
    link_delivery(lost, remote().delivery_id)
    drain()
    assert ApiCall.objects.get(kind="link").state == "due"
    retry_delivery(lost)
    drain()
    assert fresh(lost).delivery_id == remote().delivery_id
    assert ApiCall.objects.filter(kind="link").count() == 1


def test_link_beside_a_webhook_with_another_id_flags_a_second_parcel(lost, remote, drain, post_webhook):
    """The first link stays."""
    call = link_delivery(lost, remote().delivery_id)
    claim = claims.take(call.pk, using="default")
    other = Delivery(delivery_id="dlv_other", external_order_id=lost.external_order_id)
    post_webhook(event(other, "created"))
    found = claims.gateway.client_for(claim.account).get_delivery(remote().delivery_id)
    durably(lambda: settlement.settle(claim, found, 0.5, using="default"), using="default")
    assert (fresh(lost).delivery_id, fresh(lost).attention) == ("dlv_other", "second_parcel")


@pytest.mark.parametrize("delivery_id", ["", "not ascii: ә", "x" * 129])
def test_link_wants_an_id(lost, delivery_id):
    """As Kaspi's look."""
    with pytest.raises(CannotLink, match="1 to 128"):
        link_delivery(lost, delivery_id)


def test_a_link_never_changes(booked):
    """Not by a person either."""
    with pytest.raises(CannotLink, match="never changes"):
        link_delivery(booked, "dlv_other")


def test_a_corrected_order_is_booked_anew(refused, world, drain):
    """With a new name and a new key; the old one leaves the list."""
    successor = reissue_delivery(refused)
    drain()
    name = f"{refused.external_order_id}-2"
    assert (successor.external_order_id, successor.generation) == (name, 2)
    assert [request.idempotency_key for request in creates(world)] == [refused.external_order_id, name]
    assert fresh(refused).attention == ""
    assert fresh(successor).status == "created"


def test_a_cancelled_order_is_booked_anew(booked, drain, world):
    """Saving the order again follows the new one."""
    cancel_delivery(booked)
    drain()
    successor = reissue_delivery(booked)
    Order.objects.get().save()
    drain()
    assert Delivery.objects.count() == 2
    assert fresh(successor).status == "created"


def test_b0_what_may_be_booked_is_booked_anew_only_when_somebody_has_looked(lost):
    """Confirmed absent."""
    with pytest.raises(CannotReissue, match="may have booked it"):
        reissue_delivery(lost)
    assert reissue_delivery(lost, confirmed_absent=True).generation == 2


def test_what_is_still_tried_is_not_booked_anew(due):
    """Not even when somebody has looked: it may be booked in this moment."""
    with pytest.raises(CannotReissue, match="still tried by itself"):
        reissue_delivery(due.delivery, confirmed_absent=True)


def test_a_live_parcel_is_not_booked_anew(booked):
    """Cancel it first."""
    with pytest.raises(CannotReissue, match="There is a parcel"):
        reissue_delivery(booked, confirmed_absent=True)


def test_booking_anew_twice_opens_one_generation(refused):
    """The second click reads why."""
    reissue_delivery(refused)
    with pytest.raises(CannotReissue, match="later delivery"):
        reissue_delivery(refused)


def test_booking_anew_needs_the_order(refused):
    """There is nothing to ship."""
    Order.objects.all().delete()
    with pytest.raises(CannotReissue, match="The order is gone"):
        reissue_delivery(refused)
    assert fresh(refused).attention == "refused"


def test_booking_anew_needs_the_adapter(refused, monkeypatch):
    """Nothing changes when it fails."""
    adapter_that(monkeypatch, account=lambda _self, _order: 1 / 0)
    with pytest.raises(CannotReissue, match="ZeroDivisionError"):
        reissue_delivery(refused)
    assert fresh(refused).attention == "refused"


def test_a_name_without_room_for_a_number_says_so(refused, monkeypatch):
    """128 letters are Kaspi's limit."""
    adapter_that(monkeypatch, external_order_id=lambda _self, _order: "x" * 127)
    with pytest.raises(CannotReissue, match="leaves no room"):
        reissue_delivery(refused)


def test_another_environment_starts_anew_and_once(refused, settings):
    """What the sandbox refused is booked in production; a second click finds it there."""
    account = {**settings.KASPI_DELIVERY, "ENVIRONMENT": "production", "BASE_URL": "https://localhost:1"}
    settings.KASPI_DELIVERY = account
    successor = reissue_delivery(refused)
    assert (successor.environment, successor.generation) == ("production", 1)
    with pytest.raises(CannotReissue, match="another delivery"):
        reissue_delivery(refused)


def test_a_forerunner_that_was_booked_after_all_holds_the_next_back(lost, remote, world, drain, post_webhook):
    """Before it is sent: one parcel, and a person."""
    successor = reissue_delivery(lost, confirmed_absent=True)
    lost.delivery_id = remote().delivery_id
    post_webhook(event(lost, "created"))
    drain()
    assert len(world.deliveries) == 1
    assert {fresh(lost).attention, fresh(successor).attention} == {"second_parcel"}
    assert successor.calls.get().state == "stuck"


def test_a_cancelled_forerunner_that_lives_after_all_is_flagged(booked, world, drain):
    """Kaspi's own word: there are two parcels."""
    cancel_delivery(booked)
    drain()
    reissue_delivery(booked)
    drain()
    world.move(booked.delivery_id, "in_transit")
    refresh_delivery(booked)
    drain()
    assert (fresh(booked).status, fresh(booked).attention) == ("in_transit", "second_parcel")


def test_acknowledge_ends_what_waited(refused):
    """It was shipped otherwise, and is not booked any more."""
    acknowledge_delivery(refused)
    assert fresh(refused).attention == ""
    assert refused.calls.get().state == "abandoned"


def test_acknowledge_of_a_linked_one_changes_no_status(booked):
    """It only leaves the list."""
    Delivery.objects.update(attention="cancel_refused")
    acknowledge_delivery(booked)
    assert (fresh(booked).attention, fresh(booked).status) == ("", "created")


def test_acknowledge_asks_whether_somebody_has_looked(lost):
    """It may be booked."""
    with pytest.raises(CannotAcknowledge, match="may have booked it"):
        acknowledge_delivery(lost)
    acknowledge_delivery(lost, confirmed_absent=True)
    assert fresh(lost).attention == ""


def test_there_must_be_something_to_acknowledge(booked):
    """Nobody is asked."""
    with pytest.raises(CannotAcknowledge, match="Nothing asks"):
        acknowledge_delivery(booked)


def test_a_person_does_not_wait_for_the_next_try(booked, world, drain):
    """A refresh that failed a moment ago is asked again at once."""
    world.faults.add(Fault(operation="get", drop="before"))
    refresh_delivery(booked)
    drain()
    refresh_delivery(booked)
    drain()
    assert ApiCall.objects.get(kind="refresh").state == "done"


def test_a_refresh_that_is_being_sent_keeps_its_lease(booked, turnable):
    """Nobody else sends it meanwhile."""
    call = refresh_delivery(booked)
    claims.take(call.pk, using="default")
    refresh_delivery(booked)
    assert fresh(call).next_attempt_at > turnable.now


def test_an_answer_clears_what_only_meant_that_there_was_none(booked, drain):
    """Kaspi knows the delivery after all."""
    Delivery.objects.update(attention="not_found")
    refresh_delivery(booked)
    drain()
    assert fresh(booked).attention == ""


def test_an_answer_clears_nothing_that_another_call_waits_for(booked, drain):
    """The cancel was answered 404, and nobody has seen to that yet."""
    cancel_delivery(booked)
    ApiCall.objects.filter(kind="cancel").update(state="refused", reason="not_found", next_attempt_at=None)
    Delivery.objects.update(attention="not_found")
    refresh_delivery(booked)
    drain()
    assert fresh(booked).attention == "not_found"


def test_each_edit_is_flagged_once_and_taken_back_when_edited_back(booked, drain):
    """An acknowledged edit stays acknowledged; another one is a new fact."""
    seen = []
    for address in ("Satpaev 22", "Satpaev 22", "Satpaev 24", "Abay 1, Almaty"):
        Order.objects.update(address=address)
        refresh_delivery(booked)
        drain()
        seen.append(fresh(booked).attention)
        if len(seen) == 1:
            acknowledge_delivery(booked)
    assert seen == ["order_edited", "", "order_edited", ""]


def test_an_edit_that_is_edited_back_is_unflagged(booked, drain):
    """What was sent is right again."""
    for address, attention in (("Satpaev 22", "order_edited"), ("Abay 1, Almaty", "")):
        Order.objects.update(address=address)
        refresh_delivery(booked)
        drain()
        assert fresh(booked).attention == attention


def test_a_lease_that_was_lost_sends_nothing(due, monkeypatch):
    """Somebody else's UPDATE came first."""
    monkeypatch.setattr(claims, "_lease_alike", lambda *_arguments: [])
    assert claims.take(due.pk, using="default") is None


def test_a_probes_lease_that_was_lost_sends_nothing(due, turnable, monkeypatch):
    """The gate is left to another."""
    gate.close(due.delivery, until=turnable.now, reason="a 401")
    monkeypatch.setattr(claims, "_lease", lambda *_arguments: False)
    assert claims.take(due.pk, using="default") is None
    assert AccountState.objects.get().closed_until == turnable.now


def test_setting_aside_finds_the_row_of_who_was_faster(due, monkeypatch):
    """Another transaction has made it."""

    def lost_race(*_arguments):
        raise IntegrityError

    monkeypatch.setattr(booking, "_flagged", lambda _delivery: None)
    monkeypatch.setattr(booking, "_insert_stuck", lost_race)
    order = Order.objects.get()
    found = booking.set_aside(booking.adapter_of(order), order, AdapterFailed("it failed"))
    assert found == due.delivery


def test_what_was_given_up_and_is_booked_after_all_is_shown(lost, remote, post_webhook):
    """Somebody was wrong about it: a courier comes whom nobody expects."""
    acknowledge_delivery(lost, confirmed_absent=True)
    lost.delivery_id = remote().delivery_id
    post_webhook(event(lost, "accepted"))
    assert (fresh(lost).status, fresh(lost).attention) == ("accepted", "second_parcel")


def test_what_was_given_up_and_found_by_a_person_is_not(lost, remote, drain):
    """Whoever links it knows of it."""
    acknowledge_delivery(lost, confirmed_absent=True)
    link_delivery(lost, remote().delivery_id)
    drain()
    assert (fresh(lost).status, fresh(lost).attention) == ("created", "")


def test_nothing_is_given_up_while_kaspi_is_asked_about_an_id(lost, remote):
    """The answer may be a link: booking anew beside it would make two parcels."""
    link_delivery(lost, remote().delivery_id)
    for give_up in (reissue_delivery, acknowledge_delivery):
        with pytest.raises((CannotReissue, CannotAcknowledge), match="wait for its answer"):
            give_up(lost, confirmed_absent=True)
