"""Cancels of booked deliveries without a save."""

from datetime import timedelta
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.models import AccountState, Delivery
from kaspi_delivery_django.services import mark_final
from kaspi_delivery_django.services.deliveries import payloads
from kaspi_delivery_django.services.maintenance import cancel_sweep
from kaspi_delivery_django.services.maintenance.cancel_sweep import CancelSweep
from tests.services.conftest import fail_on, fresh, posts, unreadable
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


class NoCancels(OrderAdapter):
    wants_cancel = OrderAdapter.__mro__[1].wants_cancel


class BrokenForOne(OrderAdapter):
    def wants_cancel(self, order):
        if order.address == "bad":
            raise ValueError(order.phone)
        return order.cancelled


@pytest.fixture
def sweep(drain, fake_clock):
    """Sweep after the interval, as a new worker does."""

    def run(**since):
        fake_clock.advance(**(since or {"minutes": 5}))
        return drain()

    return run


@pytest.fixture
def some(kaspi, drain):
    for _ in range(4):
        Order.objects.create()
    drain()
    return list(Delivery.objects.order_by("pk"))


@pytest.mark.parametrize("known", [{"status": "created"}, {"status": "courier_assigned", "generation": 2}])
def test_a_cancel_by_update_is_requested(booked, sweep, kaspi, known):
    """With the adapter's reason, by all workers once in the interval; Kaspi decides about an unknown status."""
    Delivery.objects.update(**known)
    sweep()
    Order.objects.update(cancelled=True)
    sweep(minutes=4)
    assert fresh(booked).status == known["status"]
    sweep(minutes=1)
    delivery = fresh(booked)
    assert (delivery.status, delivery.cancel_reason) == ("cancelled", "changed their mind")
    assert kaspi.requests[-1].path.endswith("/cancel")


@pytest.mark.parametrize("off", [0, None, timedelta(0)])
def test_it_can_be_switched_off(booked, sweep, configure, off):
    """It reads nothing then."""
    configure(CANCEL_CHECK_INTERVAL=off)
    Order.objects.update(cancelled=True)
    sweep()
    assert fresh(booked).status == "created"


def test_an_adapter_without_wants_cancel_is_skipped(booked, kaspi, configure, django_assert_num_queries):
    """It costs no query."""
    configure(ORDER_ADAPTERS=[f"{__name__}.NoCancels"])
    with django_assert_num_queries(0):
        assert CancelSweep().run() == 0


def test_a_batch_costs_one_query_for_its_orders(some):
    """For any number of them."""
    AccountState.objects.update(cancels_asked_at=None)
    with CaptureQueriesContext(connection) as captured:
        CancelSweep().run()
    assert len([one for one in captured if "shop_order" in one["sql"]]) == 1
    assert len(captured) <= 8


def test_a_sweep_resumes_in_the_next_round(some, monkeypatch):
    """Batches follow each other while there is time: bookings must not wait for it."""
    monkeypatch.setattr(cancel_sweep, "BATCH", 3)
    AccountState.objects.update(cancels_asked_at=None)
    Order.objects.update(cancelled=True)
    asked = CancelSweep()
    monkeypatch.setattr(cancel_sweep, "ROUND_S", 0)
    assert asked.run() == 0
    times = iter([0.0, 0.0, 0.0, 9.0])
    monkeypatch.setattr(cancel_sweep, "ROUND_S", 5)
    monkeypatch.setattr(cancel_sweep, "time", SimpleNamespace(monotonic=lambda: next(times)))
    assert asked.run() == 3
    monkeypatch.undo()
    assert asked.run() == 1


@pytest.mark.parametrize("key", ["A-17", "9" * 25])
def test_a_key_that_became_of_another_type_hides_no_other(some, key):
    """Such a delivery is skipped, and few more queries find the others."""
    Delivery.objects.filter(pk=some[1].pk).update(object_id=key)
    with CaptureQueriesContext(connection) as captured:
        found = payloads.orders_of(Delivery.objects.order_by("pk"))
    assert sorted(found) == [one.pk for one in some if one != some[1]]
    assert len([one for one in captured if "shop_order" in one["sql"]]) <= 4


@pytest.mark.parametrize("error", [ValueError, KeyError])
def test_an_order_that_cannot_be_read_hides_no_other(some, sweep, kaspi, caplog, error):
    """Whatever the shop's own code raises: the others are cancelled."""
    Order.objects.update(cancelled=True)
    with unreadable(int(some[1].object_id), error):
        sweep()
    assert Delivery.objects.filter(status="cancelled").count() == len(posts(kaspi, "/cancel")) == 3
    assert f"order not read: delivery={some[1].pk} error={error.__name__}" in caplog.text
    assert "Aliya" not in caplog.text


def test_an_error_of_the_database_is_no_orders_fault(some, monkeypatch):
    """It is raised at once, and not looked for in ever smaller batches."""
    rows = Mock(side_effect=OperationalError)
    monkeypatch.setattr(payloads, "rows_of", rows)
    with pytest.raises(OperationalError):
        payloads.orders_of(some)
    assert rows.call_count == 1


@pytest.fixture
def held(due, kaspi, drain, fake_clock):
    """Return an unsent delivery that is flagged: its adapter does not want it sent."""
    Order.objects.update(paid=False)
    for _ in range(2):
        drain()
        fake_clock.advance(minutes=16)
    delivery = fresh(due.delivery)
    assert (delivery.attention, delivery.calls.get().state) == ("not_wanted", "stuck")
    return delivery


def test_a_flagged_delivery_is_cancelled(held, sweep, kaspi):
    """Nothing was sent, and its flag is cleared. Each account has its own sweep, in its own environment."""
    Order.objects.update(cancelled=True)
    for other in ({"account": "almaty"}, {"environment": "production"}):
        Delivery.objects.update(**other)
        sweep()
        assert (fresh(held).status, fresh(held).attention) == ("", "not_wanted")
        Delivery.objects.update(account=held.account, environment=held.environment)
    sweep()
    delivery = fresh(held)
    assert (delivery.status, delivery.cancel_reason, delivery.attention) == ("cancelled", "changed their mind", "")
    assert (delivery.unwanted_since, delivery.calls.get().state) == (None, "abandoned")
    assert kaspi.requests == []


@pytest.mark.parametrize("how", ["by staff", "by the settings"])
def test_a_new_status_that_is_final_is_left_alone(booked, sweep, configure, how):
    """There is nothing left to cancel."""
    Delivery.objects.update(status="returned")
    if how == "by staff":
        mark_final(booked)
    else:
        configure(FINAL_STATUSES=["returned"])
    Order.objects.update(cancelled=True)
    sweep()
    assert (fresh(booked).cancel_requested_at, fresh(booked).attention) == (None, "")


def test_other_deliveries_are_left_alone(some, sweep):
    """Ended, picked up, cancelled, of another environment or account, or without an order."""
    first, second, third, _fourth = (one.pk for one in some)
    Delivery.objects.filter(pk=first).update(status="in_transit")
    Delivery.objects.filter(pk=second).update(cancel_requested_at=some[0].created_at)
    Delivery.objects.filter(pk=third).update(environment="production")
    Order.objects.filter(pk=some[3].object_id).delete()
    Order.objects.update(cancelled=True)
    sweep()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"created", "in_transit"}
    assert fresh(some[3]).cancel_requested_at is None


def test_several_accounts_are_swept(some, sweep, configure):
    """Each by itself."""
    own = {"API_KEY": "key-b", "WEBHOOK_SECRETS": ["b" * 40]}
    configure(ACCOUNTS={"almaty": own})
    Delivery.objects.filter(pk=some[0].pk).update(account="almaty")
    Order.objects.update(cancelled=True)
    sweep()
    assert not Delivery.objects.filter(cancel_requested_at=None).exists()


def test_an_error_of_an_adapter_is_contained(some, sweep, configure, caplog):
    """The log names the delivery, and no data."""
    configure(ORDER_ADAPTERS=[f"{__name__}.BrokenForOne"])
    Order.objects.update(cancelled=True)
    Order.objects.filter(pk=some[0].object_id).update(address="bad")
    sweep()
    assert [bool(fresh(one).cancel_requested_at) for one in some] == [False, True, True, True]
    assert f"wants_cancel failed: delivery={some[0].pk} error=ValueError" in caplog.text


@pytest.mark.parametrize(
    "error", [DatabaseError("a row's error"), OperationalError(1213, "deadlock"), Delivery.DoesNotExist()]
)
def test_an_error_of_a_cancel_is_contained(some, sweep, monkeypatch, error):
    """A deadlock, a deleted row: the others are cancelled."""
    fail_on(monkeypatch, cancel_sweep, "cancel_for_shop", error, lambda delivery, **_options: delivery.pk == some[0].pk)
    Order.objects.update(cancelled=True)
    sweep()
    assert [bool(fresh(one).cancel_requested_at) for one in some] == [False, True, True, True]


def test_a_delivery_picked_up_meanwhile_is_flagged(booked, sweep, monkeypatch):
    """Between the check and the cancel."""
    picked_up = {"status": "in_transit"}
    monkeypatch.setattr(OrderAdapter, "wants_cancel", lambda *_asked: bool(Delivery.objects.update(**picked_up)))
    sweep()
    assert fresh(booked).attention == "cancel_refused"


def test_a_clock_that_was_set_back_delays_no_sweep(booked, sweep, fake_clock):
    """A time in the future is not when the orders were checked."""
    AccountState.objects.update(cancels_asked_at=fake_clock.now + timedelta(days=1))
    Order.objects.update(cancelled=True)
    sweep()
    assert fresh(booked).status == "cancelled"
