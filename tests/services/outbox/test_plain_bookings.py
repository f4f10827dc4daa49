"""Many bookings in one transaction: plain ones are written as `results` would, and the others are left to it."""

import re
from functools import partial
from unittest.mock import Mock

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.client import Refused, RemoteDelivery
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange
from kaspi_delivery_django.services.outbox import claims, due_calls, leases, plain_bookings, sender
from kaspi_delivery_django.services.outbox.worker import Worker
from kaspi_delivery_django.signals import delivery_created, delivery_status_changed
from tests.conftest import event
from tests.services.conftest import fresh
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def claimed(size):
    """Save so many orders, and claim their creates."""
    for _ in range(size):
        Order.objects.create()
    found, _blocked = claims.claim_many(list(due_calls.select(limit=100)))
    return sorted(found, key=lambda claim: claim.call.pk)


def answered(claim, **changes):
    words = {"delivery_id": f"dlv_{claim.call.pk}", "status": "created", **changes}
    return RemoteDelivery(external_order_id=claim.delivery.external_order_id, **words)


def booking_of(claim, **changes):
    return claim, answered(claim, **changes)


def record(found):
    return len(plain_bookings.record_many(found))


@pytest.fixture
def connect(connect_only):
    """Connect a receiver to both signals, instead of the shop's."""
    both = (delivery_created, delivery_status_changed)
    return lambda *receivers: [connect_only(signal, *receivers) for signal in both]


def test_the_shop_is_notified_of_each(kaspi, connect):
    """After the commit, and once; a receiver that failed is notified again of its change only."""
    taken, received = claimed(3), []

    def listen(delivery, **_rest):
        received.append(fresh(delivery).status)
        if delivery.pk == taken[0].delivery.pk:
            raise ZeroDivisionError

    connect(listen)
    record([booking_of(claim) for claim in taken])
    assert received == ["created"] * 6
    assert StatusChange.objects.get(notified_at__isnull=True).delivery_id == taken[0].delivery.pk


def test_without_receivers_changes_are_notified_when_written(kaspi, connect):
    """There is nothing to do after the commit."""
    connect()
    assert record([booking_of(claim) for claim in claimed(2)]) == 2
    assert StatusChange.objects.filter(notified_at__isnull=False).count() == 2


@pytest.mark.parametrize(
    "change",
    [
        {"delivery_id": "dlv_webhook"},
        {"status": "accepted"},
        {"attention": "outcome_unknown"},
        {"cancel_requested_at": "2026-03-01T12:00:00Z"},
        {"blanked_at": "2026-03-01T12:00:00Z"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_delivery_is_left_to_results(kaspi, change):
    """Each of these changes has its rule there."""
    first, second = claimed(2)
    Delivery.objects.filter(pk=first.delivery.pk).update(**change)
    assert plain_bookings.record_many([booking_of(first), booking_of(second)]) == {second.call.pk}
    assert fresh(first.call).state == "sending"


def test_a_delivery_with_a_parked_event_is_left_to_results(kaspi, post_webhook):
    """The event is applied with the link."""
    first, second = claimed(2)
    named = Delivery(delivery_id="dlv_early", external_order_id=first.delivery.external_order_id)
    Delivery.objects.filter(pk=first.delivery.pk).update(external_order_id="for-a-moment")
    assert post_webhook(event(named, "accepted")).json() == {"status": "parked"}
    Delivery.objects.filter(pk=first.delivery.pk).update(external_order_id=named.external_order_id)
    assert plain_bookings.record_many([booking_of(first), booking_of(second)]) == {second.call.pk}


@pytest.mark.parametrize(
    ("token", "delivery_id", "error"),
    [("another", None, plain_bookings.ClaimsLost), (None, "dlv_same", IntegrityError)],
    ids=["a claim was lost", "a delivery id of two"],
)
def test_one_that_cannot_be_recorded_stops_them_all(kaspi, token, delivery_id, error):
    """Nothing is written: each is then recorded alone, fenced by its token, and a second parcel is flagged."""
    taken = claimed(2)
    if token:
        ApiCall.objects.filter(pk=taken[0].call.pk).update(claim_token=token)
    with pytest.raises(error):
        record([booking_of(claim, delivery_id=delivery_id or f"dlv_{claim.call.pk}") for claim in taken])
    assert not Delivery.objects.filter(delivery_id__isnull=False).exists()
    assert set(ApiCall.objects.values_list("state", flat=True)) == {"sending"}


def test_only_first_successes_of_creates_may_be_plain(kaspi, booked):
    """All other outcomes are recorded alone."""
    [claim] = claimed(1)
    plain = partial(plain_bookings.plain_booking, claim)
    assert plain(answered(claim)) == (claim, answered(claim))
    assert plain(answered(claim, status=""))
    assert plain(answered(claim, status="accepted")) is None
    assert plain(Refused("no", status=422)) is None
    trial = leases.Claim(claim.call, claim.delivery, claim.account, was_unknown=False, is_trial=True)
    assert plain_bookings.plain_booking(trial, answered(claim)) is None
    claim.delivery.generation = 2
    assert plain(answered(claim)) is None


def test_more_bookings_need_no_more_statements(kaspi):
    """One for all the deliveries counts as one."""
    counts = []
    for size in (2, 3, 7):  # the first fills caches
        taken = [*claimed(1), *claimed(size - 1)]  # of two transactions, each with its token
        with CaptureQueriesContext(connection) as asked:
            assert record([booking_of(claim) for claim in taken]) == size
        counts.append(len(asked))
    assert counts[1] == counts[2]


SQLITE_LOCKS = 0 if connection.features.has_select_for_update else 2
MAX_STATEMENTS = 12
TRANSACTIONS = 4  # the begin and the end of two
SENDERS = {
    "outbox": sender.send,
    "inline": sender.send_inline,
    "task": lambda pk: Worker(log=lambda _line: None).send(pk),
}


def counted(send):
    """Send an order's create; return all its statements, and those inside transactions."""
    ContentType.objects.get_for_model(Order)
    call = ApiCall.objects.get(delivery__object_id=str(Order.objects.create().pk))
    with CaptureQueriesContext(connection) as captured:
        send(call.pk)
    assert ApiCall.objects.get(pk=call.pk).state == "done"
    everything = [query["sql"] for query in captured]
    own = re.compile(r"BEGIN|START TRANSACTION|COMMIT|SET ", re.IGNORECASE)
    return everything, [sql for sql in everything if not own.match(sql)]


@pytest.fixture(params=[False, True], ids=["no receivers", "a receiver"])
def receivers(request, connect):
    """Disconnect the shop's receivers, or connect one."""
    connect(*[lambda **_kwargs: None] * request.param)
    return int(request.param)


@pytest.mark.parametrize("send", SENDERS.values(), ids=SENDERS.keys())
def test_a_create_takes_twelve_statements_at_most(kaspi, receivers, send):
    """With the adapter's own query and its savepoint; a receiver costs one more."""
    everything, working = counted(send)
    assert len(working) <= MAX_STATEMENTS - 1 + receivers + SQLITE_LOCKS, working
    assert len(everything) <= len(working) + TRANSACTIONS


def test_the_clocks_cost_no_statement(real_kaspi, receivers):
    """They are read with the rows, as no test replaces them here."""
    _everything, working = counted(sender.send)
    assert len(working) <= MAX_STATEMENTS - 1 + receivers + SQLITE_LOCKS, working


@pytest.mark.parametrize("err", [IntegrityError, plain_bookings.ClaimsLost])
def test_an_outcome_that_is_not_plain_is_recorded_by_all_rules(kaspi, due, monkeypatch, err):
    """Whatever fails in the short way, the long one records the answer."""
    monkeypatch.setattr(plain_bookings, "record_locked", Mock(side_effect=err))
    assert sender.send(due.pk)
    assert Delivery.objects.get().delivery_id
