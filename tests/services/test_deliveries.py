"""What a shop asks for: booking, cancelling, refreshing. No request leaves in these tests."""

import threading
from contextlib import nullcontext
from unittest.mock import Mock

import pytest
from django.db import DatabaseError, DataError, IntegrityError, OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.admin.confirmation import CancelForm
from kaspi_delivery_django.client import protocol
from kaspi_delivery_django.client.types import MAX_REASON_LENGTH
from kaspi_delivery_django.exceptions import CannotCancel, DeliveryError, NoAdapter, UsageError
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.models.deliveries import DeliveryQuerySet
from kaspi_delivery_django.services import cancel_delivery, refresh_delivery, request_delivery
from kaspi_delivery_django.services.deliveries import actions, payloads
from kaspi_delivery_django.services.outbox import sender
from kaspi_delivery_django.statuses import status_label
from tests.conftest import PATIENCE_S
from tests.shop.models import GiftOrder, Note, Order, ProxyOrder

pytestmark = pytest.mark.django_db

ADAPTERS = "tests.shop.adapters"


def statements(captured):
    """Return the captured statements, BEGIN and COMMIT left out."""
    skipped = ("BEGIN", "COMMIT")
    return [q["sql"] for q in captured if not q["sql"].upper().startswith(skipped)]


@pytest.fixture
def use_adapter(settings):
    """Put another adapter in ORDER_ADAPTERS."""

    def use(*names, **changes):
        paths = [f"{ADAPTERS}.{name}" for name in names]
        settings.KASPI_DELIVERY = {
            **settings.KASPI_DELIVERY,
            "ORDER_ADAPTERS": paths,
            **changes,
        }

    return use


def make_linked(**fields):
    """Return an order's delivery as Kaspi knows it."""
    order = Order.objects.create()
    delivery = Delivery.objects.get(object_id=str(order.pk))
    delivery.calls.update(state="done", next_attempt_at=None)
    Delivery.objects.filter(pk=delivery.pk).update(**{"delivery_id": f"dlv_{order.pk}", "status": "created", **fields})
    delivery.refresh_from_db()
    return delivery


def test_a_saved_order_gets_one_delivery_and_one_call():
    """The first save writes the identity of what is to be booked, and nothing more."""
    order = Order.objects.create()
    delivery = Delivery.objects.get()
    assert delivery.external_order_id == f"order-{order.pk}"
    assert (delivery.generation, delivery.status, delivery.delivery_id) == (1, "", None)
    call = delivery.calls.get()
    assert (call.kind, call.state, call.payload) == ("create", "due", "")
    assert call.idempotency_key == f"order-{order.pk}"


@pytest.mark.failure_mode("save: many saves")
def test_fifty_saves_make_one_delivery():
    """However often an order is saved, it is booked once."""
    order = Order.objects.create()
    for _ in range(50):
        order.save()
    assert (Delivery.objects.count(), ApiCall.objects.count()) == (1, 1)


def test_the_first_save_adds_at_most_five_statements():
    """Booking costs an order's first save five statements: a look, a savepoint, two rows."""
    Order.objects.create()
    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        Order.objects.create()
    ours = [sql for sql in statements(captured) if "shop_order" not in sql]
    outer_savepoint = 2
    assert len(ours) - outer_savepoint <= 5, ours


def test_a_later_save_adds_at_most_one_statement():
    """Saving an order that has its delivery costs one look."""
    order = Order.objects.create()
    with CaptureQueriesContext(connection) as captured:
        order.save()
    ours = [sql for sql in statements(captured) if "shop_order" not in sql]
    assert len([sql for sql in ours if "SAVEPOINT" not in sql]) <= 1, ours


def test_an_unpaid_order_gets_none_until_it_is_paid():
    """The adapter decides on every save."""
    order = Order.objects.create(paid=False)
    assert not Delivery.objects.exists()
    order.paid = True
    order.save()
    assert Delivery.objects.count() == 1


@pytest.mark.failure_mode("save: rollback")
def test_a_rolled_back_order_leaves_nothing():
    """The rows live and die with the order's own transaction."""
    with transaction.atomic():
        Order.objects.create()
        assert Delivery.objects.count() == 1
        transaction.set_rollback(True)
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("model", [ProxyOrder, GiftOrder])
@pytest.mark.failure_mode("save: proxies and children")
def test_proxies_and_children_count_as_the_model(model):
    """A save through a proxy or a multi-table child books the same order, once."""
    order = model.objects.create()
    Order.objects.get(pk=order.pk).save()
    assert Delivery.objects.get().object_id == str(order.pk)


@pytest.mark.failure_mode("save: no signal")
def test_fixtures_and_bulk_writes_book_nothing():
    """`raw=True`, bulk_create and update() are left to kaspi_enqueue."""
    Order.objects.bulk_create([Order()])
    Order.objects.update(address="elsewhere")
    Order(pk=99).save_base(raw=True)
    assert not Delivery.objects.exists()


def test_other_models_are_none_of_our_business(django_assert_num_queries):
    """Saving a model without an adapter costs no statement of ours."""
    with django_assert_num_queries(1):
        Note.objects.create()


def test_request_delivery_of_another_model_says_what_to_write():
    """The service, unlike the receiver, tells its caller."""
    with pytest.raises(NoAdapter, match="ORDER_ADAPTERS"):
        request_delivery(Note.objects.create())


@pytest.mark.django_db(transaction=True)
@pytest.mark.failure_mode("save: many saves")
def test_eight_threads_saving_one_order_book_once():
    """The loser of the race meets the winner's row and breaks no checkout."""
    order = Order.objects.create(paid=False)
    barrier, failures = threading.Barrier(8), []

    def save():
        try:
            own = Order.objects.get(pk=order.pk)
            own.paid = True
            barrier.wait(timeout=PATIENCE_S)
            with transaction.atomic():
                own.save()
        except Exception as err:  # noqa: BLE001  # the test's verdict
            failures.append(err)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=save) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert (Delivery.objects.count(), ApiCall.objects.count()) == (1, 1)


@pytest.mark.failure_mode("save: the adapter raises")
def test_a_broken_adapter_costs_no_order_and_waits_for_a_person(use_adapter, caplog):
    """The order is saved, the failure is on the list, and no phone is in the log."""
    use_adapter("BrokenAdapter")
    order = Order.objects.create(phone="+7 701 999 8877")
    delivery = Delivery.objects.get()
    assert Order.objects.filter(pk=order.pk).exists()
    assert (delivery.attention, delivery.external_order_id) == (Attention.ADAPTER_FAILED, None)
    assert delivery.calls.get().state == "stuck"
    assert "ValueError" in caplog.text
    assert "999 8877" not in caplog.text + delivery.calls.get().error_message


def test_a_mended_adapter_books_at_the_next_save(use_adapter):
    """Saving the order again tries again, in the same row."""
    use_adapter("BrokenAdapter")
    order = Order.objects.create()
    use_adapter("OrderAdapter")
    order.save()
    delivery = Delivery.objects.get()
    assert (delivery.attention, delivery.external_order_id) == ("", f"order-{order.pk}")
    assert (delivery.calls.get().state, delivery.calls.get().idempotency_key) == (
        "due",
        f"order-{order.pk}",
    )


def test_an_external_id_that_is_taken_waits_for_a_person(use_adapter):
    """Two orders never share one delivery, even when the adapter gives them one id."""
    use_adapter("SameIdAdapter")
    Order.objects.create()
    second = Order.objects.create()
    set_aside = Delivery.objects.get(object_id=str(second.pk))
    assert (set_aside.attention, set_aside.external_order_id) == ("adapter_failed", None)
    second.save()
    assert Delivery.objects.filter(attention="").count() == 1


def test_an_unknown_account_waits_for_a_person(use_adapter):
    """An alias that the settings do not have is the adapter's mistake."""
    use_adapter("NowhereAdapter")
    Order.objects.create()
    assert Delivery.objects.get().attention == "adapter_failed"


def test_a_name_that_kaspi_does_not_take_waits_for_a_person(use_adapter):
    """The call says what the adapter must return."""
    use_adapter("UnprintableAdapter")
    Order.objects.create()
    assert Delivery.objects.get().attention == "adapter_failed"
    assert "1 to 128 printable ASCII" in ApiCall.objects.get().error_message


def test_wrong_settings_never_break_a_checkout(settings, caplog):
    """An unknown key is an error in the log and in the checks; the order is saved."""
    settings.KASPI_DELIVERY = {"API_KEYS": "typo"}
    order = Order.objects.create()
    assert Order.objects.filter(pk=order.pk).exists()
    assert "order not followed" in caplog.text


@pytest.mark.failure_mode("save: deleted")
def test_a_deleted_order_abandons_what_was_never_sent():
    """Kaspi never hears of it."""
    order = Order.objects.create()
    order.delete()
    assert not sender.send(ApiCall.objects.get().pk)
    call = ApiCall.objects.get()
    assert (call.state, call.next_attempt_at) == ("abandoned", None)


@pytest.mark.failure_mode("save: deleted")
def test_a_deleted_order_keeps_what_kaspi_knows():
    """A booked delivery stays, whatever happens to the order's row."""
    delivery = make_linked()
    Order.objects.get().delete()
    delivery.refresh_from_db()
    assert delivery.delivery_id
    assert delivery.calls.get().state == "done"


@pytest.mark.failure_mode("cancel: before anything was sent")
def test_cancel_before_anything_was_sent_abandons():
    """No request is needed to cancel what Kaspi never heard of."""
    Order.objects.create()
    delivery = cancel_delivery(Delivery.objects.get(), reason="a mistake")
    assert ApiCall.objects.get().state == "abandoned"
    assert (delivery.cancel_reason, delivery.status) == ("a mistake", "cancelled")


@pytest.mark.parametrize("length", [MAX_REASON_LENGTH, MAX_REASON_LENGTH + 1])
def test_a_reason_has_one_limit(length, use_adapter):
    """For the service, the client and the admin's form; the adapter's is cut, so that the cancel goes."""
    reason, delivery = "x" * length, make_linked()
    is_short = length == MAX_REASON_LENGTH
    with nullcontext() if is_short else pytest.raises(UsageError, match="shorten it to 500"):
        cancel_delivery(delivery, reason=reason)
    with nullcontext() if is_short else pytest.raises(UsageError, match="shorten it to 500"):
        protocol.cancel("dlv_1", reason, "key")
    assert CancelForm({"reason": reason}).is_valid() is is_short
    use_adapter("WordyAdapter")
    order = Order.objects.get()
    assert len(payloads.cancel_reason_of(order)) == MAX_REASON_LENGTH


def test_cancel_twice_asks_kaspi_once():
    """A double click, or two admins, make one POST."""
    delivery = make_linked()
    cancel_delivery(delivery, reason="a mistake")
    cancel_delivery(delivery, reason="another reason")
    call = delivery.calls.get(kind="cancel")
    assert call.idempotency_key == f"{delivery.external_order_id}-cancel"
    assert call.payload == '{"reason":"a mistake"}'


@pytest.mark.parametrize("state", ["refused", "stuck"])
def test_a_second_cancel_after_a_failed_one_has_a_key_of_its_own(state):
    """Another reason is another payload, so it needs another key."""
    delivery = make_linked()
    cancel_delivery(delivery, reason="first")
    delivery.calls.filter(kind="cancel").update(state=state)
    cancel_delivery(delivery, reason="second")
    keys = delivery.calls.filter(kind="cancel").order_by("pk")
    assert keys.last().idempotency_key == f"{delivery.external_order_id}-cancel-2"


@pytest.mark.parametrize("state", ["sending", "unknown"])
@pytest.mark.failure_mode("cancel: while the create is open")
def test_cancel_during_a_create_is_remembered(state):
    """The create is resolved first; nothing is sent for the cancel meanwhile."""
    Order.objects.create()
    ApiCall.objects.update(state=state, unknown_since="2026-03-01T00:00Z")
    delivery = cancel_delivery(Delivery.objects.get(), reason="a mistake")
    assert delivery.cancel_requested_at
    assert ApiCall.objects.get().state == state


@pytest.mark.parametrize("status", ["in_transit", "out_for_delivery", "delivered"])
@pytest.mark.failure_mode("cancel: 409")
def test_cancel_after_pickup_says_why_not(status):
    """The operator reads the status, not a stack trace."""
    delivery = make_linked(status=status)
    with pytest.raises(CannotCancel, match=status_label(status)):
        cancel_delivery(delivery)


def test_cancel_of_a_cancelled_delivery_changes_nothing():
    """It is what was asked for."""
    delivery = make_linked(status="cancelled")
    assert cancel_delivery(delivery).status == "cancelled"
    assert not delivery.calls.filter(kind="cancel").exists()


def test_an_order_that_wants_its_cancel_gets_it():
    """`wants_cancel` and `cancel_reason` of the adapter cancel the order's delivery."""
    delivery = make_linked()
    order = Order.objects.get()
    order.cancelled = True
    order.save()
    order.save()
    assert delivery.calls.get(kind="cancel").payload == '{"reason":"changed their mind"}'


def test_an_order_that_wants_its_cancel_too_late_waits_for_a_person():
    """The parcel is under way: staff must talk to the customer."""
    delivery = make_linked(status="in_transit")
    order = Order.objects.get()
    order.cancelled = True
    order.save()
    delivery.refresh_from_db()
    assert delivery.attention == Attention.CANCEL_REFUSED


@pytest.mark.failure_mode("refresh: tables grow")
def test_refresh_uses_one_row_for_ever():
    """Polling grows no table."""
    delivery = make_linked()
    first = refresh_delivery(delivery)
    ApiCall.objects.filter(pk=first.pk).update(state="done", next_attempt_at=None, attempts=3)
    second = refresh_delivery(delivery)
    assert (first.pk, second.state, second.attempts) == (second.pk, "due", 0)


def test_refresh_before_a_delivery_has_an_id_says_so():
    """There is nothing to ask Kaspi for."""
    Order.objects.create()
    delivery = Delivery.objects.get()
    with pytest.raises(DeliveryError, match="no id yet"):
        refresh_delivery(delivery)


@pytest.mark.failure_mode("refresh: Kaspi is silent")
def test_silent_deliveries_are_asked_about(turnable):
    """An open delivery that Kaspi has not spoken of for long gets a refresh, and then patience."""
    delivery = make_linked(next_refresh_at=turnable.now)
    assert actions.refresh_stale(limit=10, using="default") == 1
    assert actions.refresh_stale(limit=10, using="default") == 0
    assert delivery.calls.get(kind="refresh").state == "due"


def test_a_silent_delivery_that_cannot_be_asked_about_holds_up_no_other(turnable):
    """It is not looked at again and again."""
    nameless = make_linked(next_refresh_at=turnable.now, delivery_id=None)
    other = make_linked(next_refresh_at=turnable.now)
    actions.refresh_stale(limit=10, using="default")
    nameless.refresh_from_db()
    assert nameless.next_refresh_at is None
    assert other.calls.filter(kind="refresh").exists()


@pytest.fixture
def break_first(monkeypatch):
    """Have the first of the silent deliveries raise."""

    def use(delivery, error):
        schedule = actions.calls.add_refresh

        def fail(locked, *, at_once):
            if locked.pk == delivery.pk:
                raise error
            return schedule(locked, at_once=at_once)

        monkeypatch.setattr(actions.calls, "add_refresh", fail)

    return use


@pytest.mark.parametrize("error", [DataError("+7 701"), ValueError("+7 701"), IntegrityError("+7 701")])
def test_a_silent_delivery_that_breaks_holds_up_no_other(turnable, break_first, caplog, error):
    """It has its turn again later, and the log holds none of its data."""
    broken, other = make_linked(next_refresh_at=turnable.now), make_linked(next_refresh_at=turnable.now)
    break_first(broken, error)
    assert actions.refresh_stale(limit=10, using="default") == 2
    assert other.calls.filter(kind="refresh").exists()
    assert f"not asked about: delivery={broken.pk} error={type(error).__name__}" in caplog.text
    assert "+7 701" not in caplog.text
    assert actions.refresh_stale(limit=10, using="default") == 0
    turnable.turn(hours=1)
    assert broken in Delivery.objects.stale(turnable.now)


def test_a_silent_delivery_that_cannot_even_be_put_off_holds_up_no_other(turnable, break_first, monkeypatch, caplog):
    """The table may refuse each change of the row."""
    broken, other = make_linked(next_refresh_at=turnable.now), make_linked(next_refresh_at=turnable.now)
    break_first(broken, ValueError())
    monkeypatch.setattr(DeliveryQuerySet, "update", Mock(side_effect=DataError("+7 701")))
    assert actions.refresh_stale(limit=10, using="default") == 1
    assert other.calls.filter(kind="refresh").exists()
    assert f"deferred: delivery={broken.pk} error=DataError" in caplog.text


def test_a_silent_delivery_that_is_locked_comes_in_the_next_round(turnable, break_first):
    """A deadlock says nothing about the row, and the round is not kept busy with it."""
    locked, other = make_linked(next_refresh_at=turnable.now), make_linked(next_refresh_at=turnable.now)
    break_first(locked, OperationalError(1213, "deadlock"))
    assert actions.refresh_stale(limit=10, using="default") == 1
    assert other.calls.filter(kind="refresh").exists()
    assert [*Delivery.objects.stale(turnable.now)] == [locked]


def test_a_database_that_is_away_ends_the_questions(turnable, break_first):
    """No row is to blame, and none is put off."""
    delivery = make_linked(next_refresh_at=turnable.now)
    break_first(delivery, OperationalError("the server closed the connection"))
    with pytest.raises(OperationalError):
        actions.refresh_stale(limit=10, using="default")
    assert [*Delivery.objects.stale(turnable.now)] == [delivery]


def test_a_failed_query_of_the_adapter_is_never_hidden(use_adapter):
    """Where it has broken the shop's transaction, going on would lose the order without a word."""
    use_adapter("QueryBreaker")
    if connection.vendor == "postgresql":
        with pytest.raises(DatabaseError), transaction.atomic():
            Order.objects.create()
    else:
        Order.objects.create()
        assert Delivery.objects.get().attention == "adapter_failed"


def test_a_cancel_goes_even_if_its_reason_fails(use_adapter):
    """Without a reason rather than not at all."""
    delivery = make_linked()
    use_adapter("ReasonBreaker")
    Order.objects.get().save()
    assert delivery.calls.get(kind="cancel").payload == "{}"


def test_a_cancel_is_for_the_environment_in_use(settings):
    """An order that was tried in the sandbox has an older delivery there."""
    make_linked(environment="local")
    Order.objects.get().save()
    ours = Delivery.objects.get(environment="sandbox")
    Delivery.objects.filter(pk=ours.pk).update(delivery_id="dlv_ours", status="created")
    order = Order.objects.get()
    order.cancelled = True
    order.save()
    assert ApiCall.objects.get(kind="cancel").delivery_id == ours.pk


def test_an_adapter_that_fails_on_a_booked_order_is_flagged_and_changes_nothing(use_adapter):
    """Until the next save that works."""
    delivery = make_linked()
    order = Order.objects.get()
    use_adapter("BrokenAdapter")
    order.save()
    delivery.refresh_from_db()
    assert delivery.attention == "adapter_failed"
    use_adapter("OrderAdapter")
    order.save()
    delivery.refresh_from_db()
    assert (delivery.attention, delivery.external_order_id) == ("", f"order-{order.pk}")
    assert delivery.calls.get().state == "done"


def test_a_reason_that_cannot_be_stored_is_refused():
    """Before anything is written."""
    delivery = make_linked()
    with pytest.raises(UsageError, match="reason"):
        cancel_delivery(delivery, reason="a\0b")


def test_an_order_that_is_requested_by_hand_is_set_aside_as_well(use_adapter):
    """An adapter that fails leaves a delivery that waits for a person, whoever asked."""
    order = Order.objects.create(paid=False)
    use_adapter("NowhereAdapter")
    assert request_delivery(order).attention == Attention.ADAPTER_FAILED
