"""Which actions a delivery allows: retry, link, rebook, acknowledge and refresh, and why they are refused."""

import pytest

from kaspi_delivery_django import services
from kaspi_delivery_django.exceptions import CannotAcknowledge, CannotLink, CannotReissue, CannotRetry
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.deliveries import rules
from kaspi_delivery_django.services.outbox import claims, sender
from tests.conftest import event, record_late
from tests.services.conftest import fresh
from tests.shop import adapters
from tests.shop.models import Order

pytestmark = pytest.mark.django_db


@pytest.fixture
def remote_id(kaspi):
    """Return the function that returns the id of Kaspi's first delivery."""
    return lambda: next(iter(kaspi.deliveries))


def fail(_adapter, _order):
    """Fail as an adapter does."""
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("columns", "state", "actions"),
    [
        ({}, "due", {"cancel", "retry", "link"}),
        ({}, "sending", {"cancel", "link"}),
        ({}, "unknown", {"cancel", "retry", "link"}),
        ({"attention": "too_old"}, "stuck", {"cancel", "retry", "link", "reissue", "acknowledge"}),
        ({"attention": "refused"}, "refused", {"cancel", "link", "reissue", "acknowledge"}),
        ({}, "abandoned", {"link", "reissue"}),
        ({"external_order_id": None}, "due", {"cancel", "retry"}),
        ({"delivery_id": "dlv_1", "status": "created"}, "done", {"cancel", "refresh"}),
        ({"delivery_id": "dlv_1", "status": "in_transit"}, "done", {"refresh"}),
        (
            {"delivery_id": "dlv_1", "status": "in_transit", "attention": "cancel_refused"},
            "done",
            {"refresh", "acknowledge"},
        ),
        ({"delivery_id": "dlv_1", "status": "delivered"}, "done", {"refresh", "return"}),
        ({"delivery_id": "dlv_1", "status": "cancelled"}, "done", {"refresh", "reissue"}),
        (
            {"delivery_id": "dlv_1", "status": "cancelled", "attention": "second_parcel"},
            "done",
            {"refresh", "acknowledge"},
        ),
    ],
)
def test_the_allowed_actions(due, fake_clock, columns, state, actions):
    """They follow from the rows alone."""
    Delivery.objects.update(**columns)
    ApiCall.objects.update(state=state)
    assert rules.allowed_actions(Delivery.objects.get(), fake_clock.now) == actions


def test_a_retry_skips_the_delay(due, kaspi, drain):
    """The call is due at once."""
    kaspi.faults.add(Fault(operation="create", drop="before"))
    drain()
    services.retry_delivery(due.delivery)
    drain()
    assert [Delivery.objects.get().delivery_id] == list(kaspi.deliveries)


def test_a_retry_restarts_the_age_of_an_old_order(due, drain, fake_clock):
    """It was too old to be sent automatically."""
    fake_clock.advance(hours=25)
    drain()
    assert Delivery.objects.get().attention == "too_old"
    services.retry_delivery(due.delivery)
    drain()
    assert (Delivery.objects.get().status, Delivery.objects.get().attention) == ("created", "")


@pytest.mark.parametrize(
    ("reason", "hours", "message"),
    [("key_reused", 0, "another payload"), ("outcome_unknown", 23, "too old to be safe")],
)
def test_an_unsafe_key_is_not_sent_again(lost, fake_clock, reason, hours, message):
    """Kaspi knows it with other bytes, or may have forgotten it."""
    ApiCall.objects.update(reason=reason)
    fake_clock.advance(hours=hours)
    with pytest.raises(CannotRetry, match=message):
        services.retry_delivery(lost)


def test_a_retry_asks_the_adapter_for_a_missing_name(kaspi, drain, monkeypatch):
    """Until it succeeds, or the order is deleted."""
    with monkeypatch.context() as broken:
        broken.setattr(adapters.OrderAdapter, "external_order_id", fail)
        order = Order.objects.create()
        nameless = Delivery.objects.get()
        assert (nameless.external_order_id, nameless.attention) == (None, "adapter_failed")
        with pytest.raises(CannotRetry, match="adapter failed: ZeroDivisionError"):
            services.retry_delivery(nameless)
    Order.objects.all().delete()
    with pytest.raises(CannotRetry, match="The order is gone"):
        services.retry_delivery(nameless)
    Order.objects.bulk_create([order])
    services.retry_delivery(nameless)
    drain()
    assert fresh(nameless).status == "created"


@pytest.mark.parametrize("named", [b"order-0", b""])
def test_another_orders_delivery_is_not_linked(lost, kaspi, remote_id, drain, named):
    """Kaspi's answer names another order, or none."""
    body = b'{"deliveryId": "%s", "status": "created", "externalOrderId": "%s"}'
    kaspi.faults.add(Fault(operation="get", body=body % (remote_id().encode(), named)))
    services.link_delivery(lost, remote_id())
    drain()
    assert ApiCall.objects.get(kind="link").state == "refused"
    assert fresh(lost).attention == "outcome_unknown"


@pytest.mark.failure_mode("create: 23 hours have passed")
def test_a_confirmed_id_is_linked(lost, kaspi, remote_id, drain):
    """With the status, and the flag is cleared; one row serves a wrong id, a fault and the right id."""
    services.link_delivery(lost, "dlv_wrong")
    drain()
    kaspi.faults.add(Fault(operation="get", drop="before"))
    services.link_delivery(lost, remote_id())
    drain()
    assert ApiCall.objects.get(kind="link").state == "due"
    services.retry_delivery(lost)
    drain()
    row = fresh(lost)
    assert (row.delivery_id, row.status, row.attention) == (remote_id(), "created", "")
    assert list(ApiCall.objects.order_by("pk").values_list("kind", "state")) == [("create", "done"), ("link", "done")]


def test_a_link_beside_a_webhook_with_another_id_flags_a_second_parcel(lost, remote_id, post_webhook):
    """The webhook's link came first, and stays."""
    call = services.link_delivery(lost, remote_id())
    claim = claims.claim(call.pk)
    other = Delivery(delivery_id="dlv_other", external_order_id=lost.external_order_id)
    post_webhook(event(other, "created"))
    found = sender.client_for(claim.account).get_delivery(remote_id())
    record_late(claim, found)
    assert (fresh(lost).delivery_id, fresh(lost).attention) == ("dlv_other", "second_parcel")


def test_an_invalid_or_second_id_is_refused(lost):
    """Empty, not ASCII, or too long; a linked delivery keeps its own, which the message names."""
    for delivery_id in ("", "not ascii: ә", "x" * 129):
        with pytest.raises(CannotLink, match="1 to 128"):
            services.link_delivery(lost, delivery_id)
    Delivery.objects.update(delivery_id="dlv_own")
    with pytest.raises(CannotLink, match="dlv_own"):
        services.link_delivery(lost, "dlv_other")


def test_a_refused_or_cancelled_order_is_rebooked_once(refused, kaspi, drain):
    """With a new name and a new key; the refused delivery's flag is cleared, and a save adds no other delivery."""
    successor = services.reissue_delivery(refused)
    with pytest.raises(CannotReissue, match="still retried"):
        services.reissue_delivery(successor, confirmed_absent=True)
    drain()
    names = [refused.external_order_id, f"{refused.external_order_id}-2", f"{refused.external_order_id}-3"]
    assert (successor.external_order_id, successor.generation) == (names[1], 2)
    assert (fresh(refused).attention, fresh(successor).status) == ("", "created")
    with pytest.raises(CannotReissue, match="later delivery"):
        services.reissue_delivery(refused)
    with pytest.raises(CannotReissue, match="It is booked"):
        services.reissue_delivery(successor, confirmed_absent=True)
    services.cancel_delivery(successor)
    drain()
    third = services.reissue_delivery(successor)
    Order.objects.get().save()
    drain()
    keys = [request.idempotency_key for request in kaspi.requests if request.path.endswith("/deliveries")]
    assert (keys, fresh(third).status, Delivery.objects.count()) == (names, "created", 3)


@pytest.mark.parametrize(
    ("act", "error"), [(services.reissue_delivery, CannotReissue), (services.acknowledge_delivery, CannotAcknowledge)]
)
@pytest.mark.failure_mode("create: 23 hours have passed")
def test_abandoning_needs_a_confirmation_if_kaspi_may_have_booked(lost, remote_id, act, error):
    """That Kaspi has no such delivery; and none while Kaspi checks an id that staff entered."""
    with pytest.raises(error, match="may have booked it"):
        act(lost)
    call = services.link_delivery(lost, remote_id())
    with pytest.raises(error, match="wait for the answer"):
        act(lost, confirmed_absent=True)
    call.delete()
    act(lost, confirmed_absent=True)
    assert fresh(lost).attention == ""
    assert lost.calls.get().state == "abandoned"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (None, "The order is gone"),
        (("account", fail), "ZeroDivisionError"),
        (("external_order_id", lambda _adapter, _order: "x" * 127), "too long for the number"),
    ],
)
def test_rebooking_needs_the_order_and_its_adapter(refused, monkeypatch, method, message):
    """Nothing changes without them."""
    if method:
        monkeypatch.setattr(adapters.OrderAdapter, *method)
    else:
        Order.objects.all().delete()
    with pytest.raises(CannotReissue, match=message):
        services.reissue_delivery(refused)
    assert fresh(refused).attention == "refused"


def test_another_environment_has_its_own_generations(refused, configure):
    """An order that the sandbox refused is booked in production, once."""
    configure(ENVIRONMENT="production", BASE_URL="https://localhost:1")
    successor = services.reissue_delivery(refused)
    assert (successor.environment, successor.generation) == ("production", 1)
    with pytest.raises(CannotReissue, match="another delivery"):
        services.reissue_delivery(refused)


def test_a_predecessor_that_was_booked_after_all_stops_the_successor(lost, remote_id, kaspi, drain, post_webhook):
    """Before it is sent; both are flagged."""
    successor = services.reissue_delivery(lost, confirmed_absent=True)
    lost.delivery_id = remote_id()
    post_webhook(event(lost, "created"))
    drain()
    assert len(kaspi.deliveries) == 1
    assert {fresh(lost).attention, fresh(successor).attention} == {"second_parcel"}
    assert successor.calls.get().state == "stuck"


def test_a_cancelled_predecessor_that_is_live_after_all_is_flagged(booked, kaspi, drain):
    """Kaspi's answer to a GET shows it."""
    services.cancel_delivery(booked)
    drain()
    services.reissue_delivery(booked)
    drain()
    kaspi.move(booked.delivery_id, "in_transit")
    services.refresh_delivery(booked)
    drain()
    assert (fresh(booked).status, fresh(booked).attention) == ("in_transit", "second_parcel")


def test_acknowledging_ends_a_booking_and_changes_no_status(refused):
    """An unbooked one is abandoned; without a flag there is nothing to acknowledge."""
    services.acknowledge_delivery(refused)
    assert (fresh(refused).attention, refused.calls.get().state) == ("", "abandoned")
    Delivery.objects.update(delivery_id="dlv_1", status="created")
    with pytest.raises(CannotAcknowledge, match="needs no manual review"):
        services.acknowledge_delivery(refused)
    Delivery.objects.update(attention="cancel_refused")
    services.acknowledge_delivery(refused)
    assert (fresh(refused).attention, fresh(refused).status) == ("", "created")


def test_staff_refresh_at_once(booked, kaspi, drain, fake_clock):
    """Despite the delay after a fault; a claimed refresh keeps its lease."""
    kaspi.faults.add(Fault(operation="get", drop="before"))
    services.refresh_delivery(booked)
    drain()
    call = services.refresh_delivery(booked)
    drain()
    assert fresh(call).state == "done"
    services.refresh_delivery(booked)
    claims.claim(call.pk)
    services.refresh_delivery(booked)
    assert fresh(call).next_attempt_at > fake_clock.now


@pytest.mark.parametrize("is_cancel_refused", [False, True])
def test_an_answer_clears_not_found(booked, drain, is_cancel_refused):
    """Unless a cancel has the same reason."""
    if is_cancel_refused:
        services.cancel_delivery(booked)
        ApiCall.objects.filter(kind="cancel").update(state="refused", reason="not_found", next_attempt_at=None)
    Delivery.objects.update(attention="not_found")
    services.refresh_delivery(booked)
    drain()
    assert fresh(booked).attention == ("not_found" if is_cancel_refused else "")


@pytest.mark.parametrize("is_acknowledged", [False, True])
def test_each_edit_is_flagged_once(booked, drain, is_acknowledged):
    """An acknowledged edit is not flagged again, another edit is; reverting it clears the flag."""
    seen = []
    for address in ("Satpaev 22", "Satpaev 22", "Satpaev 24", "Abay 1, Almaty"):
        Order.objects.update(address=address)
        services.refresh_delivery(booked)
        drain()
        seen.append(fresh(booked).attention)
        if is_acknowledged and fresh(booked).attention:
            services.acknowledge_delivery(booked)
    assert seen == ["order_edited", "" if is_acknowledged else "order_edited", "order_edited", ""]


@pytest.mark.parametrize("by_staff", [False, True])
def test_an_abandoned_delivery_that_is_booked_after_all_is_flagged(lost, remote_id, drain, post_webhook, by_staff):
    """Unless staff link it."""
    services.acknowledge_delivery(lost, confirmed_absent=True)
    if by_staff:
        services.link_delivery(lost, remote_id())
        drain()
    else:
        lost.delivery_id = remote_id()
        post_webhook(event(lost, "accepted"))
    expected = ("created", "") if by_staff else ("accepted", "second_parcel")
    assert (fresh(lost).status, fresh(lost).attention) == expected
