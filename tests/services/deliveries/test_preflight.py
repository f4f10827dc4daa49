"""The shop's latest word: what is asked right before a create is sent, whoever sends it."""

from datetime import timedelta

import pytest

from kaspi_delivery_django.client import protocol
from kaspi_delivery_django.exceptions import CannotRetry
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import acknowledge_delivery, cancel_delivery, request_delivery, retry_delivery
from kaspi_delivery_django.services.deliveries import booking, preflight
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.signals import delivery_created, delivery_needs_attention, delivery_status_changed
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=[1, 4], ids=["one thread", "threads"])
def send_due(kaspi, request):
    """Send what is due, call by call or many together."""
    return Worker(log=lambda _line: None, threads=request.param).run_round


@pytest.fixture
def heard():
    """Record the signals, by name."""
    found = []

    def note_created(**_kwargs):
        found.append("created")

    def note_changed(change, **_kwargs):
        found.append(change.to_status)

    def note_needed(attention, **_kwargs):
        found.append(attention)

    delivery_created.connect(note_created)
    delivery_status_changed.connect(note_changed)
    delivery_needs_attention.connect(note_needed)
    yield found
    delivery_created.disconnect(note_created)
    delivery_status_changed.disconnect(note_changed)
    delivery_needs_attention.disconnect(note_needed)


@pytest.fixture
def use(settings):
    """Put another adapter in ORDER_ADAPTERS."""

    def choose(name):
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": [f"tests.shop.adapters.{name}"]}

    return choose


def freeze(call):
    """Have a call built, as after a first try that did not reach Kaspi."""
    ApiCall.objects.filter(pk=call.pk).update(payload="{}", payload_sha256=protocol.digest("{}"))


def wait_for_staff(due, send_due, turnable):
    """Let the adapter say no for so long that staff are asked."""
    Order.objects.update(paid=False)
    send_due()
    turnable.turn(minutes=15)
    send_due()
    return fresh(due.delivery)


@pytest.mark.parametrize("is_built", [False, True])
@pytest.mark.failure_mode("cancel: not wanted any more")
def test_a_cancel_that_no_save_has_told_of_is_heard(due, send_due, kaspi, heard, turnable, is_built):
    """An update(), raw SQL, another program: the row as the database has it counts, built or not."""
    if is_built:
        freeze(due)
    Order.objects.update(cancelled=True)
    send_due()
    delivery = fresh(due.delivery)
    assert (delivery.status, delivery.delivery_id, delivery.cancel_reason) == ("cancelled", None, "changed their mind")
    assert delivery.cancel_requested_at
    assert fresh(due).state == "abandoned"
    assert (kaspi.requests, heard) == ([], ["cancelled"])


@pytest.mark.parametrize("is_built", [False, True])
def test_a_no_neither_sends_nor_abandons(due, send_due, kaspi, turnable, is_built):
    """It is due again in a quarter of an hour, and staff are not asked before."""
    if is_built:
        freeze(due)
    Order.objects.update(paid=False)
    send_due()
    call, delivery = fresh(due), fresh(due.delivery)
    assert (call.state, call.reason) == ("due", "not_wanted")
    assert call.next_attempt_at == turnable.now + preflight.WAIT_BEFORE_FLAG
    assert (delivery.attention, delivery.status, delivery.unwanted_since) == ("", "", turnable.now)
    assert kaspi.requests == []


def test_staff_are_asked_once(due, send_due, kaspi, turnable, heard):
    """After a quarter of an hour, with two ways on."""
    delivery = wait_for_staff(due, send_due, turnable)
    turnable.turn(hours=5)
    send_due()
    assert (delivery.attention, fresh(due).state) == ("not_wanted", "stuck")
    assert (heard, kaspi.requests) == (["not_wanted"], [])


def test_what_is_wanted_again_by_then_goes(due, send_due, kaspi, turnable):
    """Though no save has said so."""
    Order.objects.update(paid=False)
    send_due()
    Order.objects.update(paid=True)
    turnable.turn(minutes=15)
    send_due()
    delivery = fresh(due.delivery)
    assert (delivery.status, delivery.unwanted_since, delivery.attention) == ("created", None, "")
    assert fresh(due).reason == ""


@pytest.mark.parametrize("minutes", [0, 15])
def test_a_save_that_answers_yes_lets_it_go(due, send_due, turnable, minutes):
    """While it waits, and after staff were asked; the flag is cleared."""
    Order.objects.update(paid=False)
    send_due()
    turnable.turn(minutes=minutes)
    send_due()
    order = Order.objects.get()
    order.paid = True
    order.save()
    delivery = fresh(due.delivery)
    assert (delivery.attention, delivery.unwanted_since, fresh(due).reason) == ("", None, "")
    send_due()
    assert fresh(due.delivery).status == "created"


def test_a_save_that_answers_no_changes_nothing(due, send_due, turnable):
    """The quarter of an hour does not start again."""
    Order.objects.update(paid=False)
    send_due()
    due_at = fresh(due).next_attempt_at
    turnable.turn(minutes=5)
    Order.objects.get().save()
    assert fresh(due).next_attempt_at == due_at


def test_staff_may_send_it(due, send_due, turnable):
    """Their word overrules `wants_delivery`, and the row says since when."""
    delivery = wait_for_staff(due, send_due, turnable)
    sent = retry_delivery(delivery, send_anyway=True)
    assert (sent.attention, sent.send_anyway_at) == ("", turnable.now)
    send_due()
    assert fresh(due.delivery).status == "created"


def test_staff_never_overrule_a_cancel(due, send_due, kaspi, turnable):
    """What the shop cancelled meanwhile is not sent."""
    retry_delivery(wait_for_staff(due, send_due, turnable), send_anyway=True)
    Order.objects.update(cancelled=True)
    send_due()
    assert (fresh(due.delivery).status, kaspi.requests) == ("cancelled", [])


def test_staff_may_cancel_it(due, send_due, turnable, heard):
    """It leaves the list, and the shop hears it."""
    delivery = cancel_delivery(wait_for_staff(due, send_due, turnable))
    assert (delivery.status, delivery.attention, fresh(delivery).unwanted_since) == ("cancelled", "", None)
    assert heard == ["not_wanted", "cancelled"]


@pytest.mark.parametrize("minutes", [0, 15])
def test_a_plain_retry_asks_the_adapter_again(due, send_due, turnable, minutes):
    """As the bulk action does: a no is answered at once, and a yes lets it go."""
    Order.objects.update(paid=False)
    send_due()
    turnable.turn(minutes=minutes)
    send_due()
    before = fresh(due)
    with pytest.raises(CannotRetry, match="does not want it sent"):
        retry_delivery(due.delivery)
    assert (fresh(due).state, fresh(due).next_attempt_at) == (before.state, before.next_attempt_at)
    Order.objects.update(paid=True)
    retry_delivery(due.delivery)
    send_due()
    assert fresh(due.delivery).status == "created"


def test_a_retry_says_that_the_adapter_fails_or_the_order_is_gone(due, send_due, turnable, use):
    """Two other reasons why it cannot go."""
    delivery = wait_for_staff(due, send_due, turnable)
    use("BrokenAdapter")
    with pytest.raises(CannotRetry, match="adapter failed"):
        retry_delivery(delivery)
    use("OrderAdapter")
    Order.objects.all().delete()
    with pytest.raises(CannotRetry, match="order is gone"):
        retry_delivery(delivery)


def test_there_is_nothing_to_overrule_for_others(due):
    """`send_anyway` is for what its adapter holds back."""
    with pytest.raises(CannotRetry, match="nothing to overrule"):
        retry_delivery(due.delivery, send_anyway=True)


@pytest.mark.parametrize("is_built", [False, True])
def test_an_adapter_that_fails_when_it_is_asked_is_for_staff(due, send_due, kaspi, use, is_built, turnable):
    """It is not sent on a guess."""
    if is_built:
        freeze(due)
    use("BrokenAdapter")
    send_due()
    assert (fresh(due).state, fresh(due.delivery).attention, kaspi.requests) == ("stuck", "adapter_failed", [])


def test_a_retry_after_a_failure_sends_nothing_that_is_not_wanted(due, send_due, kaspi, use):
    """The adapter is asked again when it is fixed; a delivery with a name waits."""
    use("BrokenBuilder")
    send_due()
    use("OrderAdapter")
    Order.objects.update(paid=False)
    retry_delivery(due.delivery)
    send_due()
    assert (fresh(due).reason, kaspi.requests) == ("not_wanted", [])


def nameless(use):
    """Return the delivery of an order that is not paid, which its adapter failed on."""
    use("BrokenAdapter")
    order = Order.objects.create(paid=False)
    use("OrderAdapter")
    return order, Delivery.objects.get(object_id=str(order.pk))


def test_a_retry_books_no_order_that_is_not_wanted(kaspi, use):
    """An order that is not paid is not booked; paid for later, it is."""
    order, delivery = nameless(use)
    assert retry_delivery(delivery).pk is None
    assert not Delivery.objects.exists()
    order.paid = True
    order.save()
    assert Delivery.objects.get().external_order_id == f"order-{order.pk}"


def test_a_retry_books_no_order_that_is_cancelled(kaspi, use):
    """The same for an order that the shop has cancelled meanwhile."""
    order, delivery = nameless(use)
    Order.objects.filter(pk=order.pk).update(paid=True, cancelled=True)
    assert retry_delivery(delivery).pk is None


def test_a_save_that_answers_no_clears_a_failure(kaspi, use):
    """Without a name there is nothing left of it."""
    order, _delivery = nameless(use)
    order.save()
    assert not Delivery.objects.exists()


def test_a_save_that_answers_no_has_a_named_delivery_wait(due, send_due, use, turnable):
    """It was wanted once: the shop may want it again, or staff decide."""
    use("BrokenBuilder")
    send_due()
    use("OrderAdapter")
    order = Order.objects.get()
    order.paid = False
    order.save()
    delivery, call = fresh(due.delivery), fresh(due)
    assert (delivery.attention, delivery.unwanted_since) == ("", turnable.now)
    assert (call.state, call.reason, call.next_attempt_at) == (
        "due",
        "not_wanted",
        turnable.now + timedelta(minutes=15),
    )


@pytest.mark.parametrize(("paid", "cancelled"), [(False, False), (True, True)])
def test_a_save_that_answers_clears_a_booked_deliverys_failure(booked, use, paid, cancelled):
    """Whatever the answer is."""
    order = Order.objects.get()
    use("BrokenAdapter")
    order.save()
    assert fresh(booked).attention == "adapter_failed"
    use("OrderAdapter")
    Delivery.objects.update(cancel_requested_at=booked.created_at)
    order.paid, order.cancelled = paid, cancelled
    order.save()
    assert fresh(booked).attention == ""


def test_what_was_fixed_meanwhile_stays(due, use, kaspi):
    """A flag that another save has cleared is not cleared twice, and nothing is deleted."""
    preflight.note_refusal(due.delivery)
    assert preflight.release(due.delivery).unwanted_since is None
    assert fresh(due).state == "due"


def test_a_wanted_order_is_booked_though_its_unnamed_delivery_is_deleted_meanwhile(use, kaspi, monkeypatch):
    """Another save, or staff, had an answer that did not want it, in the same moment."""
    use("BrokenAdapter")
    order = Order.objects.create()
    unnamed = Delivery.objects.get()
    use("OrderAdapter")
    Delivery.objects.all().delete()
    monkeypatch.setattr(booking, "newest_of", lambda *_args: unnamed)
    assert request_delivery(order).external_order_id == f"order-{order.pk}"
    assert ApiCall.objects.get().state == "due"


def test_an_unnamed_delivery_that_is_gone_already_needs_nothing(due):
    """Two saves that did not want it came at once."""
    unnamed = due.delivery
    Delivery.objects.filter(pk=unnamed.pk).delete()
    preflight.note_refusal(unnamed)
    assert not Delivery.objects.exists()


def test_an_order_that_is_deleted_before_it_is_sent_is_cancelled_quietly(due, send_due, kaspi, heard):
    """There is no order left that the shop could be told of."""
    Order.objects.all().delete()
    send_due()
    assert (fresh(due.delivery).status, fresh(due).state) == ("cancelled", "abandoned")
    assert (heard, kaspi.requests) == ([], [])
    assert StatusChange.objects.get().notified_at


def test_acknowledged_it_is_never_sent(due, send_due, turnable, kaspi):
    """Staff have dealt with it otherwise."""
    acknowledge_delivery(wait_for_staff(due, send_due, turnable))
    Order.objects.update(paid=True)
    Order.objects.get().save()
    send_due()
    assert (fresh(due.delivery).attention, kaspi.requests) == ("", [])


def test_what_kaspi_may_have_is_not_asked_about(due, send_due, kaspi, turnable):
    """Once a byte may have left, the same bytes go again: the outcome is to be known first."""
    kaspi.faults.add(Fault(operation="create", drop="after"))
    send_due()
    Order.objects.update(paid=False)
    turnable.turn(minutes=10)
    send_due()
    assert [request.method for request in kaspi.requests] == ["POST", "POST"]
    assert fresh(due.delivery).status == "created"
