"""Webhooks that were verified: each takes effect once, in any order, and none is lost."""

import json
from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.db import IntegrityError, OperationalError, connection
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import read_event
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import acknowledge_delivery, inbox, replay_event
from kaspi_delivery_django.services.deliveries import events, status
from tests.conftest import NOON, event
from tests.services.conftest import FailingStatements, fail_on, fresh, posts
from tests.shop.models import Order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_clock")]

LIFE = ("created", "accepted", "in_transit", "out_for_delivery", "delivered")
PHONE = "+7 701 555 0199"


@pytest.fixture
def unlinked():
    """Return a delivery that has no id at Kaspi yet."""
    return Delivery.objects.get(object_id=str(Order.objects.create().pk))


@pytest.fixture
def lost_answer(due, kaspi, drain):
    """Return a create that Kaspi has booked, though the answer was lost."""
    kaspi.faults.add(Fault(operation="create", drop="after"))
    drain()
    assert fresh(due).state == "unknown"
    return fresh(due)


def receive(document):
    body = json.dumps(document).encode()
    return inbox.receive(conf.account("default"), read_event(body), body)


def changed(document, data=None, **changes):
    """Return a document with other values; those of `data` are merged."""
    return {**document, **changes, "data": {**document["data"], **(data or {})}}


def about(delivery_id, external_order_id, status="accepted"):
    data = {"deliveryId": delivery_id, "externalOrderId": external_order_id, "status": status}
    return {"eventId": "wh_1", "type": f"delivery.{status}", "attempt": 1, "data": data}


def history(delivery):
    """Return the statuses of a delivery's history, in the order they were written."""
    return list(delivery.history.order_by("pk").values_list("to_status", flat=True))


@pytest.mark.failure_mode("database: jsonb reorders keys")
def test_an_event_is_kept_as_it_came(delivery):
    """The inbox has what came, when, and the outcome."""
    receive(event(delivery, "accepted", at=NOON - timedelta(minutes=1)))
    row = WebhookEvent.objects.get()
    assert (row.account, row.environment, row.event_id) == ("default", "sandbox", "wh_1")
    assert (row.type, row.state, row.delivery) == ("delivery.accepted", "applied", delivery)
    assert (row.occurred_at, row.received_at) == (NOON - timedelta(minutes=1), NOON)
    assert json.loads(row.body) == event(delivery, "accepted", at=NOON - timedelta(minutes=1))


def test_a_body_is_stored_as_ascii(delivery, post_webhook):
    """The same document, which any character set holds; a redelivery of it is no other content."""
    document = {**event(delivery, "accepted"), "note": "Еду \N{DELIVERY TRUCK}"}
    raw = json.dumps(document, ensure_ascii=False).encode()
    assert [post_webhook(raw).json() for _ in range(2)] == [{"status": "applied"}] * 2
    row = WebhookEvent.objects.get()
    assert (row.body.isascii(), json.loads(row.body)) == (True, document)


def test_a_redelivery_counts_up_and_changes_nothing(delivery, fake_clock):
    """`attempt` is inside the signed body, so the bytes differ though nothing else does; nor does the keys' order."""
    document = event(delivery, "accepted")
    receive(document)
    before = (fresh(delivery).updated_at, WebhookEvent.objects.get().body)
    fake_clock.advance(minutes=1)
    backwards = {"attempt": 2, "data": dict(reversed(document["data"].items()))}
    assert [receive({**document, **changes}) for changes in ({"attempt": 3}, backwards)] == ["applied"] * 2
    row = WebhookEvent.objects.get()
    assert (row.attempt, row.received_count, row.received_at) == (2, 3, NOON)
    assert (fresh(delivery).updated_at, row.body) == before
    assert (fresh(delivery).status, history(delivery)) == ("accepted", ["accepted"])


@pytest.mark.parametrize("change", [{"type": "delivery.delivered"}, {"data": {"status": "other"}}])
@pytest.mark.failure_mode("webhook: the same event with other data")
def test_the_same_id_with_other_data_is_a_conflict(delivery, change, caplog):
    """The first is kept, in the inbox and in effect; Kaspi is asked, as it may be the false one, and staff see it."""
    first = event(delivery, "accepted")
    receive(first)
    assert receive(changed(first, **change)) == "conflict"
    row = WebhookEvent.objects.get()
    assert (row.state, row.received_count, json.loads(row.body)) == ("conflict", 2, first)
    assert (fresh(delivery).status, history(delivery)) == ("accepted", ["accepted"])
    assert fresh(delivery).next_refresh_at == NOON
    assert "differs from its first delivery" in caplog.text


Reason = WebhookEvent.Reason
MOVES_NOTHING = {
    "an unknown type": ({"type": "parcel.weighed"}, "ignored", Reason.UNKNOWN_TYPE),
    "an unknown status": ({"type": "delivery.at_customs", "data": {"status": "at_customs"}}, "applied", ""),
    "a type that contradicts the status": ({"type": "delivery.delivered"}, "conflict", ""),
    "a new kind of event": ({"type": "delivery.returned"}, "conflict", ""),
    "a new kind, no status": ({"type": "delivery.eta", "data": {"status": None}}, "ignored", Reason.UNKNOWN_TYPE),
    "no type": ({"type": None}, "failed", "the type is missing or unusable"),
    "no status": ({"data": {"status": None}}, "failed", "data has no status"),
    "an unusable status": ({"data": {"status": "on its way"}}, "failed", "data.status is unusable"),
    "no delivery id": ({"data": {"deliveryId": None}}, "failed", "data.deliveryId is missing or unusable"),
    "an unusable name": ({"data": {"externalOrderId": "заказ-1"}}, "failed", "data.externalOrderId is unusable"),
}


@pytest.mark.parametrize(("changes", "state", "error"), MOVES_NOTHING.values(), ids=MOVES_NOTHING)
def test_an_event_that_cannot_be_taken_as_it_is_moves_nothing(delivery, changes, state, error):
    """It is stored, and Kaspi is asked unless the type is no delivery's; a contradiction is flagged."""
    assert receive(changed(event(delivery, "accepted"), **changes)) == state
    row, found = WebhookEvent.objects.get(), fresh(delivery)
    assert (row.error, row.delivery, found.status) == (error, delivery, "created")
    assert found.next_refresh_at == (None if row.type == "parcel.weighed" else NOON)
    assert found.attention == ("contradiction" if state == "conflict" else "")
    if state == "failed":
        assert (replay_event(row), fresh(row).error) == ("failed", error)


@pytest.mark.failure_mode("webhook: a test event")
def test_a_test_event_is_recognised_by_its_id(unlinked):
    """Kaspi was asked for it: it books and moves nothing, whatever its data."""
    inbox.expect_test(conf.account("default"), "wh_1")
    assert [receive(about("dlv_9", unlinked.external_order_id)) for _ in range(2)] == ["ignored"] * 2
    row = WebhookEvent.objects.get()
    assert (row.error, row.type, row.received_count, row.received_at) == ("a test event", "delivery.accepted", 2, NOON)
    assert json.loads(row.body) == about("dlv_9", unlinked.external_order_id)
    assert (fresh(unlinked).delivery_id, fresh(unlinked).attention) == (None, "")
    assert ApiCall.objects.get().state == "due"


@pytest.mark.parametrize("is_faster", [True, False])
@pytest.mark.parametrize(
    ("document", "error"),
    [
        (about("dlv_9", "order-9"), "a test event"),
        ({"eventId": "wh_1", "type": "delivery.created"}, "data is missing or no object"),
    ],
)
def test_a_test_event_leaves_the_dead_letters(document, error, is_faster):
    """It may be unreadable, or faster than Kaspi's answer: then it was stored as any other."""
    if is_faster:
        assert receive(document) in WebhookEvent.DEAD_LETTERS
    inbox.expect_test(conf.account("default"), "wh_1")
    if not is_faster:
        assert receive(document) == "ignored"
    row = WebhookEvent.objects.get()
    assert (row.state, row.error, row.received_count) == ("ignored", error, 1)


def test_an_event_that_took_effect_stays_what_it_is(delivery):
    """An id that Kaspi gives twice undoes nothing."""
    receive(event(delivery, "accepted"))
    inbox.expect_test(conf.account("default"), "wh_1")
    assert WebhookEvent.objects.get().state == "applied"


def test_an_event_that_names_the_delivery_alone_waits_for_the_booking(lost_answer, kaspi, drain, fake_clock):
    """It is applied when our create learns the id."""
    [booked] = kaspi.deliveries
    document = about(booked, lost_answer.delivery.external_order_id)
    del document["data"]["externalOrderId"]
    assert receive(document) == "parked"
    fake_clock.advance(hours=2)
    drain()
    assert (fresh(lost_answer.delivery).status, WebhookEvent.objects.get().state) == ("accepted", "applied")


@pytest.mark.parametrize("is_known", [True, False])
def test_an_event_that_names_the_delivery_alone_is_applied(delivery, is_known):
    """Kaspi's own id is enough; the worker applies it if the booking was committed in the same moment."""
    document = event(delivery, "accepted")
    del document["data"]["externalOrderId"]
    Delivery.objects.update(delivery_id="dlv_1" if is_known else "dlv_other")
    assert receive(document) == ("applied" if is_known else "parked")
    Delivery.objects.update(delivery_id="dlv_1")
    assert inbox.apply_parked(limit=10) == (0 if is_known else 1)
    assert fresh(delivery).status == "accepted"


def test_what_cannot_be_applied_asks_nothing_about_a_delivery_without_an_id(unlinked):
    """There is nothing to ask for."""
    document = about(None, unlinked.external_order_id)
    assert receive(document) == "failed"
    assert (WebhookEvent.objects.get().delivery, fresh(unlinked).next_refresh_at) == (unlinked, None)


@pytest.mark.failure_mode("webhook: an unknown delivery")
def test_a_parked_event_is_applied_once_its_order_appears(kaspi, drain):
    """The worker looks for orders that were saved after their webhook came; each copy is counted."""
    assert [receive({**about("dlv_9", "order-999"), "attempt": attempt}) for attempt in (1, 2)] == ["parked"] * 2
    assert WebhookEvent.objects.get().delivery is None
    Order.objects.create(pk=999)
    drain()
    delivery = Delivery.objects.get()
    assert (delivery.delivery_id, delivery.status) == ("dlv_9", "accepted")
    row = WebhookEvent.objects.get()
    assert (row.state, row.received_count, posts(kaspi)) == ("applied", 2, [])


def test_an_event_of_another_account_or_environment_does_not_touch_a_delivery(delivery, settings, configure):
    """Ids are a merchant's own, and a sandbox event never shadows one of production."""
    configure(ACCOUNTS={"almaty": {"API_KEY": "k", "WEBHOOK_SECRETS": ["s" * 32]}})
    body = json.dumps(event(delivery, "accepted")).encode()
    assert inbox.receive(conf.account("almaty"), read_event(body), body) == "parked"
    assert fresh(delivery).status == "created"
    assert receive(event(delivery, "accepted")) == "applied"
    configure(ENVIRONMENT="local")
    settings.DEBUG = True
    assert receive(event(delivery, "accepted")) == "parked"


@pytest.mark.parametrize("state", ["due", "sending", "unknown", "stuck"])
@pytest.mark.failure_mode("request: killed before the commit")
def test_an_event_heals_a_create(lost_answer, kaspi, deliver_webhooks, fake_clock, drain, state):
    """It brings the id that our call never learned: no later round books a second parcel."""
    waiting = None if state == "stuck" else NOON + timedelta(minutes=1)
    ApiCall.objects.update(state=state, next_attempt_at=waiting)
    Delivery.objects.update(attention="outcome_unknown" if state == "stuck" else "")
    assert [sent.status for sent in deliver_webhooks()] == [200]
    healed = fresh(lost_answer.delivery)
    assert (healed.delivery_id in kaspi.deliveries, healed.attention) == (True, "")
    for _ in range(3):
        fake_clock.advance(hours=2)
        drain()
    assert (fresh(lost_answer).state, len(posts(kaspi)), len(kaspi.deliveries)) == ("done", 1, 1)
    assert history(lost_answer.delivery) == ["created"]


@pytest.mark.failure_mode("webhook: a second parcel")
def test_another_id_for_a_known_order_is_parked_and_flagged(delivery):
    """The id we know never changes; a suspected second parcel is flagged for staff."""
    second = about("dlv_2", delivery.external_order_id)
    assert receive(second) == "parked"
    found = fresh(delivery)
    assert (found.delivery_id, found.status, found.attention) == ("dlv_1", "created", "second_parcel")
    assert inbox.apply_parked(limit=10) == 0
    assert WebhookEvent.objects.get().state == "parked"


def test_an_acknowledged_second_parcel_comes_back_with_another_id(delivery):
    """A third one is a new fact; another event about the second is none."""
    steps = [("dlv_2", "second_parcel"), ("dlv_2", ""), ("dlv_3", "second_parcel")]
    for number, (delivery_id, attention) in enumerate(steps):
        receive({**about(delivery_id, delivery.external_order_id), "eventId": f"wh_{number}"})
        assert fresh(delivery).attention == attention
        if attention:
            acknowledge_delivery(delivery)


def test_another_orders_id_is_a_conflict(delivery, unlinked):
    """The event names our delivery and another order: neither is touched."""
    assert receive(about("dlv_1", unlinked.external_order_id)) == "conflict"
    assert (fresh(delivery).status, fresh(unlinked).delivery_id) == ("created", None)


def test_a_parked_event_that_turns_out_to_be_a_conflict_ends(delivery, unlinked):
    """The worker comes to an end with it: no round is busy with the same event for ever."""
    Delivery.objects.update(account="elsewhere")
    assert receive(about("dlv_1", unlinked.external_order_id)) == "parked"
    Delivery.objects.update(account="default")
    assert [inbox.apply_parked(limit=10) for _ in range(2)] == [0, 0]
    assert (WebhookEvent.objects.get().state, fresh(delivery).attention) == ("conflict", "foreign_delivery")


@pytest.mark.parametrize(
    "timestamp",
    [
        "2026-03-01T11:59:00",
        "yesterday",
        "",
        "1999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-12:00",
        (NOON + timedelta(hours=25)).isoformat(),
        1772366400,
        None,
    ],
)
@pytest.mark.failure_mode("status: an impossible time")
def test_a_time_that_cannot_be_true_is_replaced_and_noted(delivery, timestamp):
    """Naive, garbage, before 2020, more than a day ahead: the time of arrival stands in."""
    assert receive(changed(event(delivery, "accepted"), {"timestamp": timestamp})) == "applied"
    change = delivery.history.get()
    assert (change.at, fresh(delivery).status_at) == (NOON, NOON)
    assert "time of arrival" in change.note
    assert WebhookEvent.objects.get().error == change.note


def test_a_time_up_to_a_day_ahead_is_kaspis(delivery):
    """It is kept as that moment."""
    receive(changed(event(delivery, "accepted"), {"timestamp": "2026-03-02T17:00:00.000+05:00"}))
    change, later = delivery.history.get(), NOON + timedelta(hours=24)
    assert (change.at, fresh(delivery).status_at, change.note) == (later, later, "")


@pytest.mark.parametrize("truth", ["delivered", "cancelled"])
@pytest.mark.parametrize(("first", "second"), [("delivered", "cancelled"), ("cancelled", "delivered")])
@pytest.mark.failure_mode("status: contradictory ends")
def test_the_next_get_decides_between_endings(booked, kaspi, drain, first, second, truth):
    """The first stands, flagged, until Kaspi is asked, and that is at once: its own answer corrects."""
    assert [receive(event(booked, word, event_id=f"wh_{word}")) for word in (first, second)] == ["applied", "conflict"]
    found = fresh(booked)
    assert (found.status, found.attention, found.next_refresh_at) == (first, "contradiction", NOON)
    kaspi.move(booked.delivery_id, truth)
    drain()
    found = fresh(booked)
    assert (found.status, found.attention, found.next_refresh_at) == (truth, "", None)


@pytest.mark.parametrize("error", [ValueError(PHONE), IntegrityError(PHONE), KeyError(PHONE)])
def test_an_event_that_cannot_be_applied_is_kept_as_failed(delivery, post_webhook, monkeypatch, error, caplog):
    """Kaspi gets its 2xx; the event waits for a replay; the error is stored without data."""
    monkeypatch.setattr(status, "apply", Mock(side_effect=error))
    assert post_webhook(event(delivery, "accepted")).json() == {"status": "failed"}
    row = WebhookEvent.objects.get()
    assert (row.state, row.delivery, row.applied_at) == ("failed", None, None)
    assert type(error).__name__ in row.error
    assert PHONE not in row.error + caplog.text
    assert (fresh(delivery).status, history(delivery)) == ("created", [])


DEADLOCK = OperationalError(1213, "Deadlock found when trying to get lock")
STATEMENTS = [
    'INSERT INTO "kaspi_delivery_webhookevent"',
    'INSERT INTO "kaspi_delivery_statuschange"',
    'UPDATE "kaspi_delivery_delivery" SET "status"',
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("start", STATEMENTS)
def test_a_deadlock_is_tried_once_more(delivery, start):
    """Wherever it strikes, the second try does all of the work."""
    with connection.execute_wrapper(FailingStatements(start, DEADLOCK, times=1)):
        assert receive(event(delivery, "accepted")) == "applied"
    assert (fresh(delivery).status, history(delivery)) == ("accepted", ["accepted"])
    assert WebhookEvent.objects.get().received_count == 1


@pytest.mark.skipif(connection.vendor != "sqlite", reason="others have no such mode")
@pytest.mark.django_db(transaction=True)
def test_sqlite_needs_no_immediate_transactions(unlinked, monkeypatch, at_once):
    """The check recommends them; that nothing is lost without them is our own doing."""
    monkeypatch.delitem(connection.settings_dict["OPTIONS"], "transaction_mode")
    unlinked.delivery_id = "dlv_1"
    life = [event(unlinked, word, event_id=f"wh_{word}") for word in LIFE]
    states = at_once(*[lambda document=document: receive(document) for document in life])
    assert all(isinstance(state, str) for state in states)
    assert (fresh(unlinked).status, sorted(history(unlinked))) == ("delivered", sorted(LIFE))


@pytest.mark.django_db(transaction=True)
def test_copies_for_no_delivery_at_once_are_parked_once(at_once):
    """With no delivery to lock, the event's own key decides."""
    assert at_once(*[lambda: receive(about("dlv_9", "order-9"))] * 6) == ["parked"] * 6
    assert WebhookEvent.objects.get().received_count == 6


@pytest.mark.django_db(transaction=True)
def test_two_orders_cannot_take_one_id_at_once(at_once):
    """Two events give one deliveryId to two orders: one gets it, the other is a conflict."""
    first, second = (Delivery.objects.get(object_id=str(Order.objects.create().pk)) for _ in range(2))
    rival = {**about("dlv_1", second.external_order_id), "eventId": "wh_2"}
    states = at_once(lambda: receive(about("dlv_1", first.external_order_id)), lambda: receive(rival))
    assert StatusChange.objects.count() == 1
    assert all(isinstance(state, str) for state in states)
    assert Delivery.objects.filter(delivery_id="dlv_1").count() == 1


def test_a_parked_event_that_came_with_two_contents_is_not_applied_by_itself(booked, post_webhook, drain):
    """It is unknown which of them is true: staff see it, and Kaspi's own word moves the delivery."""
    Delivery.objects.update(account="elsewhere")
    first = event(booked, "delivered")
    post_webhook(first)
    other = changed(first, {"status": "in_transit"}, type="delivery.in_transit")
    assert post_webhook(other).json() == {"status": "conflict"}
    Delivery.objects.update(account="default")
    drain()
    assert (Delivery.objects.get().status, WebhookEvent.objects.get().state) == ("created", "conflict")


def test_two_contents_of_one_id_about_no_known_delivery():
    """There is none to ask about: staff see the event."""
    receive(about("dlv_9", "order-9"))
    assert receive(about("dlv_9", "order-9", "delivered")) == "conflict"


def test_a_redelivery_is_recorded_by_one_update(delivery):
    """Two of them, of two contents, in one moment would each hold what the other waits for."""
    for document in (event(delivery, "accepted"), event(delivery, "accepted"), about("dlv_9", "order-9")):
        with CaptureQueriesContext(connection) as captured:
            receive(document)
    updates = [query["sql"] for query in captured if query["sql"].startswith('UPDATE "kaspi_delivery_webhookevent"')]
    assert len(updates) == (1 if connection.vendor != "mysql" else 0)


@pytest.mark.django_db(transaction=True)
def test_two_contents_of_one_id_at_once(delivery, at_once):
    """One is kept, however they meet, and nothing is answered 503."""
    contents = [event(delivery, "accepted"), event(delivery, "in_transit")] * 3
    states = at_once(*[lambda document=document: receive(document) for document in contents])
    assert all(isinstance(state, str) for state in states)
    row = WebhookEvent.objects.get()
    assert (row.state, row.received_count) == ("conflict", 6)
    assert len(history(delivery)) == 1


def test_two_copies_that_fail_at_once_leave_one_event(booked, post_webhook, monkeypatch):
    """The slower one finds the other's row when it stores its own."""
    monkeypatch.setattr(events, "apply", lambda *_arguments: 1 / 0)
    document = event(booked, "accepted")
    post_webhook(document)
    again = inbox._receive_again
    blind = [True]
    monkeypatch.setattr(inbox, "_receive_again", lambda *row: None if blind and blind.pop() else again(*row))
    assert post_webhook(document).json() == {"status": "failed"}
    assert WebhookEvent.objects.get().received_count == 2


def test_a_parked_event_that_breaks_is_a_dead_letter_and_stops_no_other(unlinked, monkeypatch):
    """The worker finds the others in the same round."""
    other = Delivery.objects.get(object_id=str(Order.objects.create().pk))
    for number, one in enumerate((unlinked, other)):
        Delivery.objects.filter(pk=one.pk).update(account="elsewhere")
        receive({**about(f"dlv_{number}", one.external_order_id), "eventId": f"wh_{number}"})
    Delivery.objects.update(account="default")
    fail_on(monkeypatch, events, "link_and_apply", ZeroDivisionError, lambda locked, _id: locked.pk == unlinked.pk)
    assert inbox.apply_parked(limit=10) == 1
    assert list(WebhookEvent.objects.order_by("event_id").values_list("state", flat=True)) == ["failed", "applied"]
