"""The adapter is asked again right before a create is sent; how a held or postponed delivery goes on."""

from datetime import datetime, timedelta

import pytest
from django.db import models

from kaspi_delivery_django import services
from kaspi_delivery_django.exceptions import CannotRetry
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange
from kaspi_delivery_django.models.calls import digest
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.deliveries import identities, preflight, rules
from kaspi_delivery_django.services.outbox import sender
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.timetables import WeeklyTimetable
from tests.services.conftest import fresh, posts, unreadable
from tests.services.deliveries.conftest import save
from tests.shop import adapters
from tests.shop.models import Line, Order

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[1, 4], ids=["one thread", "threads"])
def send_due(kaspi, request, transactional_db):
    """Send due calls, one by one or many together."""
    return Worker(log=lambda _line: None, threads=request.param).run_round


@pytest.fixture(params=[False, True], ids=["not built", "built"])
def create(due, request):
    """Return a due create, whose payload may be built by an attempt that did not reach Kaspi."""
    if request.param:
        ApiCall.objects.update(payload="{}", payload_sha256=digest("{}"))
    return due


@pytest.fixture
def hold(due, drain, fake_clock):
    """Let the adapter not want the order for some minutes; return the delivery."""

    def run(minutes):
        Order.objects.update(paid=False)
        drain()
        fake_clock.advance(minutes=minutes)
        drain()
        return fresh(due.delivery)

    return run


def save_order(**values):
    """Save the only order with these values."""
    save(Order.objects.get(), **values)


@pytest.mark.parametrize("error", [ValueError, AttributeError, KeyError, Line.DoesNotExist])
def test_an_order_that_cannot_be_read_is_no_deleted_one(due, send_due, kaspi, error):
    """Whatever the shop's own code raises: the delivery is flagged, and the next save sends it."""
    with unreadable(int(due.delivery.object_id), error):
        send_due()
    found = fresh(due.delivery)
    assert (found.status, found.attention, fresh(due).state) == ("", "adapter_failed", "stuck")
    assert fresh(due).error_message.startswith(error.__name__)
    save_order()
    send_due()
    assert (fresh(found).status, fresh(found).attention, len(posts(kaspi))) == ("created", "", 1)


@pytest.mark.failure_mode("cancel: no longer wanted")
def test_a_cancel_without_a_save_applies(create, send_due, kaspi, signals):
    """An update(), raw SQL, another program: the database's row counts."""
    Order.objects.update(cancelled=True)
    send_due()
    delivery = fresh(create.delivery)
    assert (delivery.status, delivery.delivery_id, delivery.cancel_reason) == ("cancelled", None, "changed their mind")
    assert delivery.cancel_requested_at
    assert fresh(create).state == "abandoned"
    assert (kaspi.requests, signals) == ([], ["cancelled"])


def test_an_unwanted_delivery_is_neither_sent_nor_abandoned(create, send_due, kaspi, fake_clock, signals):
    """It is due again after a quarter of an hour, and flagged then, once."""
    Order.objects.update(paid=False)
    send_due()
    call, delivery = fresh(create), fresh(create.delivery)
    assert (call.state, call.reason) == ("due", "not_wanted")
    assert call.next_attempt_at == fake_clock.now + preflight.WAIT_BEFORE_FLAG
    assert (delivery.attention, delivery.status, delivery.unwanted_since) == ("", "", fake_clock.now)
    for _ in range(2):
        fake_clock.advance(minutes=15)
        send_due()
    assert (fresh(delivery).attention, fresh(call).state) == ("not_wanted", "stuck")
    assert (signals, kaspi.requests) == (["not_wanted"], [])


def test_it_is_sent_if_it_is_wanted_by_then(due, hold, send_due, fake_clock):
    """Though no save has released it."""
    hold(0)
    Order.objects.update(paid=True)
    fake_clock.advance(minutes=15)
    send_due()
    delivery = fresh(due.delivery)
    assert (delivery.status, delivery.unwanted_since, delivery.attention) == ("created", None, "")
    assert fresh(due).reason == ""


@pytest.mark.parametrize("minutes", [0, 15])
def test_a_save_that_wants_it_releases_it(due, hold, drain, minutes):
    """Before and after it is flagged; a save that does not want it leaves it due at the same time."""
    hold(minutes)
    due_at = fresh(due).next_attempt_at
    save_order()
    assert fresh(due).next_attempt_at == due_at
    save_order(paid=True)
    delivery = fresh(due.delivery)
    assert (delivery.attention, delivery.unwanted_since, fresh(due).reason) == ("", None, "")
    drain()
    assert fresh(due.delivery).status == "created"


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_staff_send_it_anyway(due, hold, drain, kaspi, fake_clock, is_cancelled):
    """They overrule `wants_delivery`, never `wants_cancel`; and only while it is held."""
    with pytest.raises(CannotRetry, match="nothing to overrule"):
        services.retry_delivery(due.delivery, send_anyway=True)
    sent = services.retry_delivery(hold(15), send_anyway=True)
    assert (sent.attention, sent.send_anyway_at) == ("", fake_clock.now)
    Order.objects.update(cancelled=is_cancelled)
    drain()
    assert fresh(due.delivery).status == ("cancelled" if is_cancelled else "created")
    assert len(kaspi.requests) == (0 if is_cancelled else 1)


def test_an_acknowledged_delivery_is_never_sent(hold, drain, kaspi):
    """Though a later save wants it."""
    delivery = services.acknowledge_delivery(hold(15))
    save_order(paid=True)
    drain()
    assert (fresh(delivery).attention, kaspi.requests) == ("", [])


@pytest.mark.parametrize("minutes", [0, 15])
def test_a_retry_asks_the_adapter_again(due, hold, drain, use_adapter, minutes):
    """It is refused while the order is not wanted, cannot be asked about, or is deleted; then it is sent."""
    delivery, before, order = hold(minutes), fresh(due), Order.objects.get()
    with pytest.raises(CannotRetry, match="does not want it sent"):
        services.retry_delivery(delivery)
    use_adapter("BrokenAdapter")
    with pytest.raises(CannotRetry, match="adapter failed"):
        services.retry_delivery(delivery)
    use_adapter("OrderAdapter")
    Order.objects.all().delete()
    with pytest.raises(CannotRetry, match="order is gone"):
        services.retry_delivery(delivery)
    assert (fresh(due).state, fresh(due).next_attempt_at) == (before.state, before.next_attempt_at)
    order.paid = True
    Order.objects.bulk_create([order])
    services.retry_delivery(delivery)
    drain()
    assert fresh(delivery).status == "created"


def test_a_failing_adapter_is_flagged(create, send_due, kaspi, use_adapter):
    """Nothing is sent."""
    use_adapter("BrokenAdapter")
    send_due()
    assert (fresh(create).state, fresh(create.delivery).attention, kaspi.requests) == ("stuck", "adapter_failed", [])


@pytest.mark.parametrize("act", [services.retry_delivery, lambda _delivery: save_order()], ids=["retry", "save"])
def test_an_unwanted_delivery_is_held_after_a_failure(due, send_due, kaspi, use_adapter, fake_clock, act):
    """It has a name, so it was wanted once."""
    use_adapter("BrokenBuilder")
    send_due()
    use_adapter("OrderAdapter")
    Order.objects.update(paid=False)
    act(due.delivery)
    send_due()
    delivery, call = fresh(due.delivery), fresh(due)
    assert (delivery.attention, delivery.unwanted_since, kaspi.requests) == ("", fake_clock.now, [])
    assert (call.state, call.reason) == ("due", "not_wanted")
    assert call.next_attempt_at == fake_clock.now + timedelta(minutes=15)


@pytest.fixture
def nameless(kaspi, use_adapter):
    """Return a delivery without a name, of an unpaid order that the adapter failed on."""
    use_adapter("BrokenAdapter")
    Order.objects.create(paid=False)
    use_adapter("OrderAdapter")
    return Delivery.objects.get()


def retry_nameless():
    """Retry the only delivery, which has no name."""
    assert services.retry_delivery(Delivery.objects.get()).pk is None


@pytest.mark.parametrize(
    ("act", "values"),
    [(retry_nameless, {}), (retry_nameless, {"paid": True, "cancelled": True}), (save_order, {})],
    ids=["retry", "retry of a cancelled order", "save"],
)
def test_an_unwanted_delivery_without_a_name_is_deleted(nameless, act, values):
    """By a retry or a save, which may happen at once; a later save that wants the order books it."""
    Order.objects.update(**{"paid": False, **values})
    act()
    assert not Delivery.objects.exists()
    preflight.note_refusal(nameless)
    assert not Delivery.objects.exists()
    save_order(paid=True, cancelled=False)
    assert Delivery.objects.get().external_order_id == f"order-{Order.objects.get().pk}"


def test_a_failure_that_was_cleared_meanwhile_is_left(due):
    """By another save."""
    preflight.note_refusal(due.delivery)
    assert preflight.release(due.delivery).unwanted_since is None
    assert fresh(due).state == "due"


def test_an_order_is_booked_though_its_nameless_delivery_was_just_deleted(nameless, monkeypatch):
    """By another save, or by staff."""
    Order.objects.update(paid=True)
    Delivery.objects.all().delete()
    monkeypatch.setattr(identities, "newest_of", lambda *_args: [nameless])
    order = Order.objects.get()
    assert services.request_delivery(order).external_order_id == f"order-{order.pk}"
    assert ApiCall.objects.get().state == "due"


@pytest.mark.failure_mode("save: deleted")
def test_a_deleted_order_is_cancelled_without_a_signal(due, send_due, kaspi, signals):
    """The shop has no order that it could be about."""
    Order.objects.all().delete()
    send_due()
    assert (fresh(due.delivery).status, fresh(due).state) == ("cancelled", "abandoned")
    assert (signals, kaspi.requests) == ([], [])
    assert StatusChange.objects.get().notified_at


def test_the_adapter_is_not_asked_once_kaspi_may_have_booked(due, send_due, kaspi, fake_clock):
    """The same bytes are sent again."""
    kaspi.faults.add(Fault(operation="create", drop="after"))
    send_due()
    Order.objects.update(paid=False)
    fake_clock.advance(minutes=10)
    send_due()
    assert [request.method for request in kaspi.requests] == ["POST", "POST"]
    assert fresh(due.delivery).status == "created"


DELETED = "deleted"


class Undeleted(models.Manager):
    """A manager that hides orders marked as deleted."""

    def get_queryset(self):
        """Exclude them."""
        return super().get_queryset().exclude(address=DELETED)


class SoftDeletingAdapter(adapters.OrderAdapter):
    """An adapter that wants a marked order cancelled."""

    def wants_cancel(self, order):
        return order.address == DELETED


@pytest.fixture
def hide_deleted(monkeypatch, configure):
    """Let a manager of the model hide marked orders, and use an adapter."""

    def run(manager, adapter):
        hiding = Undeleted()
        hiding.model, hiding.name = Order, "undeleted"
        monkeypatch.setitem(Order._meta.__dict__, f"{manager}_manager", hiding)
        configure(ORDER_ADAPTERS=[f"{adapter.__module__}.{adapter.__name__}"])

    return run


@pytest.mark.parametrize(
    ("manager", "adapter", "address", "status"),
    [
        ("default", SoftDeletingAdapter, DELETED, "cancelled"),
        ("base", SoftDeletingAdapter, DELETED, "cancelled"),
        ("default", adapters.OrderAdapter, DELETED, "created"),
        ("default", SoftDeletingAdapter, "Abay 1", "created"),
        ("base", SoftDeletingAdapter, "Abay 1", "created"),
    ],
)
def test_the_base_manager_finds_the_order(due, hide_deleted, manager, adapter, address, status):
    """An order that it hides counts as deleted; the default manager, for the shop's own lists, decides nothing."""
    hide_deleted(manager, adapter)
    Order.objects.update(address=address)
    assert sender.send(due.pk) is (status == "created")
    assert fresh(due.delivery).status == status


@pytest.fixture
def opens_at(monkeypatch, fake_clock):
    """Let the shop book couriers from three days on, which is longer than a call may wait; return that time."""
    times = {"opens": fake_clock.now + timedelta(days=3)}
    monkeypatch.setattr(adapters.OrderAdapter, "not_before", lambda _self, _order: times["opens"])
    return times


@pytest.mark.parametrize("is_paid", [True, False])
def test_a_booking_waits_for_its_time(due, opens_at, drain, kaspi, fake_clock, is_paid):
    """Nothing is sent and nothing flagged before; then the adapter is asked again, and its age begins."""
    drain()
    delivery, call = fresh(due.delivery), fresh(due)
    assert (delivery.not_before, delivery.is_postponed, delivery.attention) == (opens_at["opens"], True, "")
    assert (call.state, call.next_attempt_at, call.payload, kaspi.requests) == ("due", opens_at["opens"], "", [])
    Order.objects.update(paid=is_paid)
    fake_clock.advance(days=3)
    drain()
    delivery = fresh(due.delivery)
    assert (delivery.is_held, delivery.is_postponed, delivery.not_before) == (not is_paid, False, None)
    assert (delivery.status, delivery.attention) == ("created" if is_paid else "", "")


def test_a_timetable_that_is_open_books_at_once(due, drain, fake_clock, monkeypatch):
    """It answers with the time that it is by then, which is later than when the call was claimed."""
    timetable = WeeklyTimetable(dict.fromkeys(range(7), ("00:00", "24:00")))

    def next_open(_self, _order):
        fake_clock.advance(milliseconds=1)
        return timetable.next_open(fake_clock.now)

    monkeypatch.setattr(adapters.OrderAdapter, "not_before", next_open)
    drain()
    assert fresh(due.delivery).status == "created"


def test_a_save_asks_for_the_time_again(due, opens_at, drain):
    """The customer has chosen another day, or today."""
    drain()
    opens_at["opens"] += timedelta(days=1)
    save_order(paid=True)
    drain()
    assert fresh(due.delivery).not_before == opens_at["opens"]
    opens_at["opens"] = None
    save_order(paid=True)
    drain()
    assert fresh(due.delivery).status == "created"


@pytest.mark.parametrize(
    ("change", "status"), [({}, "created"), ({"paid": False}, ""), ({"cancelled": True}, "cancelled")]
)
def test_staff_send_a_postponed_one_early(due, opens_at, drain, kaspi, change, status):
    """They overrule the time alone: an order that is no longer paid waits, a cancelled one ends."""
    drain()
    services.retry_delivery(fresh(due.delivery), send_early=True)
    Order.objects.update(**change)
    drain()
    delivery = fresh(due.delivery)
    assert (delivery.status, delivery.is_held) == (status, "paid" in change)
    assert len(kaspi.requests) == (1 if status == "created" else 0)


@pytest.mark.parametrize(("is_paid", "consent"), [(False, "send_early"), (True, "send_anyway")])
def test_consent_to_one_wait_overrules_no_other(due, opens_at, drain, is_paid, consent):
    """Its time came and it is not paid; or it was not paid, and is for another day now."""
    if not is_paid:
        opens_at["opens"] = None
        Order.objects.update(paid=False)
    drain()
    with pytest.raises(CannotRetry):
        services.retry_delivery(fresh(due.delivery), **{consent: True})
    drain()
    assert fresh(due.delivery).status == ""


def test_a_postponed_one_is_cancelled_without_a_request(due, opens_at, drain, kaspi):
    """A retry would only ask the adapter again: it is refused, and names the action that books it."""
    drain()
    actions = rules.allowed_actions(fresh(due.delivery), clock.now())
    assert ("send_early" in actions, "retry" in actions) == (True, False)
    with pytest.raises(CannotRetry, match="Send now"):
        services.retry_delivery(fresh(due.delivery))
    assert services.cancel_delivery(fresh(due.delivery)).status == "cancelled"
    assert kaspi.requests == []


@pytest.mark.parametrize("answer", ["2026-03-01", datetime(2099, 3, 1)])  # noqa: DTZ001  # a mistake that is made
def test_a_time_without_a_zone_is_a_failure_of_the_adapter(due, opens_at, drain, answer):
    """Nothing is guessed."""
    opens_at["opens"] = answer
    drain()
    assert fresh(due.delivery).attention == "adapter_failed"
    assert "not_before must return None or a datetime with a time zone" in fresh(due).error_message
