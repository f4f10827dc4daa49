"""Cancelling and refreshing a delivery. No request is sent here."""

from contextlib import nullcontext
from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.db import DataError, IntegrityError, OperationalError

from kaspi_delivery_django.admin.forms import CancelForm
from kaspi_delivery_django.client import protocol
from kaspi_delivery_django.client.types import MAX_REASON_LENGTH
from kaspi_delivery_django.exceptions import CannotCancel, DeliveryError, UsageError
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.models.deliveries import DeliveryQuerySet
from kaspi_delivery_django.services import cancel_delivery, refresh_delivery
from kaspi_delivery_django.services.deliveries import actions, payloads
from kaspi_delivery_django.statuses import status_label
from tests.services.conftest import fail_on, fresh
from tests.services.deliveries.conftest import save
from tests.shop.models import Order

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("length", [MAX_REASON_LENGTH, MAX_REASON_LENGTH + 1])
def test_a_reason_has_one_limit(length, use_adapter, make_linked):
    """For the service, the client and the admin's form; the adapter's reason is cut."""
    reason, delivery = "x" * length, make_linked()
    is_short = length == MAX_REASON_LENGTH
    for send in (lambda: cancel_delivery(delivery, reason=reason), lambda: protocol.cancel("dlv_1", reason, "key")):
        with nullcontext() if is_short else pytest.raises(UsageError, match="shorten it to 500"):
            send()
    assert CancelForm({"reason": reason}).is_valid() is is_short
    use_adapter("WordyAdapter")
    assert len(payloads.cancel_reason_of(Order.objects.get())) == MAX_REASON_LENGTH


def test_a_reason_that_cannot_be_stored_is_refused(make_linked):
    """Before anything is written."""
    with pytest.raises(UsageError, match="reason"):
        cancel_delivery(make_linked(), reason="a\0b")


@pytest.mark.parametrize("state", ["refused", "stuck"])
def test_a_second_cancel_has_its_own_key_once_the_first_failed(make_linked, state):
    """Until then the reason of the call that is under way stays; another reason is another payload."""
    delivery = make_linked()
    cancel_delivery(delivery, reason="first")
    assert cancel_delivery(delivery, reason="second").cancel_reason == "first"
    first = delivery.calls.get(kind="cancel")
    assert (first.idempotency_key, first.payload) == (f"{delivery.external_order_id}-cancel", '{"reason":"first"}')
    delivery.calls.filter(kind="cancel").update(state=state)
    cancel_delivery(delivery, reason="second")
    latest = delivery.calls.filter(kind="cancel").latest("pk")
    assert latest.idempotency_key == f"{delivery.external_order_id}-cancel-2"


@pytest.mark.parametrize("state", ["sending", "unknown"])
@pytest.mark.failure_mode("cancel: while the create is open")
def test_a_cancel_during_a_create_is_remembered(due, state):
    """The create is resolved first."""
    ApiCall.objects.update(state=state, unknown_since="2026-03-01T00:00Z")
    assert cancel_delivery(due.delivery, reason="a mistake").cancel_requested_at
    assert fresh(due).state == state


@pytest.mark.parametrize("status", ["in_transit", "out_for_delivery", "delivered"])
@pytest.mark.failure_mode("cancel: 409")
def test_a_cancel_after_pickup_is_refused(make_linked, status):
    """The message names the status, and the shop's order is flagged; a cancelled one needs no second cancel."""
    delivery = make_linked(status=status)
    with pytest.raises(CannotCancel, match=status_label(status)):
        cancel_delivery(delivery)
    if status != "delivered":
        save(Order.objects.get(), cancelled=True)
        assert fresh(delivery).attention == Attention.CANCEL_REFUSED
    Delivery.objects.update(status="cancelled")
    assert cancel_delivery(delivery).status == "cancelled"
    assert not delivery.calls.filter(kind="cancel").exists()


@pytest.mark.parametrize(
    ("adapter", "payload"), [("OrderAdapter", '{"reason":"changed their mind"}'), ("ReasonBreaker", "{}")]
)
def test_the_adapter_cancels_its_orders_delivery(use_adapter, make_linked, adapter, payload):
    """Once, with the adapter's reason; without one if that fails."""
    delivery = make_linked()
    use_adapter(adapter)
    for _ in range(2):
        save(Order.objects.get(), cancelled=True)
    assert delivery.calls.get(kind="cancel").payload == payload


def test_a_cancel_is_for_the_environment_in_use(make_linked):
    """The order has an older delivery in another environment."""
    make_linked(environment="local")
    Order.objects.get().save()
    ours = Delivery.objects.get(environment="sandbox")
    Delivery.objects.filter(pk=ours.pk).update(delivery_id="dlv_ours", status="created")
    save(Order.objects.get(), cancelled=True)
    assert ApiCall.objects.get(kind="cancel").delivery_id == ours.pk


@pytest.mark.failure_mode("refresh: tables grow")
def test_refreshes_use_one_row(make_linked):
    """Polling grows no table; without an id Kaspi has nothing to fetch."""
    delivery = make_linked()
    first = refresh_delivery(delivery)
    ApiCall.objects.filter(pk=first.pk).update(state="done", next_attempt_at=None, attempts=3)
    second = refresh_delivery(delivery)
    assert (first.pk, second.state, second.attempts) == (second.pk, "due", 0)
    with pytest.raises(DeliveryError, match="no id yet"):
        refresh_delivery(make_linked(delivery_id=None))


def refresh_stale():
    """Refresh what is due, and return the number."""
    return actions.refresh_stale(limit=10)


@pytest.mark.failure_mode("refresh: Kaspi is silent")
def test_stale_deliveries_are_refreshed(fake_clock, make_linked):
    """Once; a delivery without an id is not scheduled again, and delays no other."""
    nameless, other = make_linked(next_refresh_at=fake_clock.now, delivery_id=None), make_linked()
    Delivery.objects.update(next_refresh_at=fake_clock.now)
    assert (refresh_stale(), refresh_stale()) == (2, 0)
    assert fresh(nameless).next_refresh_at is None
    assert other.calls.get(kind="refresh").state == "due"


@pytest.fixture
def stale(fake_clock, make_linked):
    """Return two deliveries that are due for a refresh, the first one longer."""
    since = fake_clock.now - timedelta(minutes=1)
    return make_linked(next_refresh_at=since), make_linked(next_refresh_at=fake_clock.now)


@pytest.fixture
def fail_first(stale, monkeypatch):
    """Let the first one's refresh raise."""

    def is_first(locked, **_options):
        return locked.pk == stale[0].pk

    return lambda error: fail_on(monkeypatch, actions.calls, "add_refresh", error, is_first)


@pytest.mark.parametrize("error", [DataError("+7 701"), ValueError("+7 701"), IntegrityError("+7 701")])
def test_a_failing_row_is_delayed_alone(fake_clock, stale, fail_first, caplog, error):
    """The log holds none of its data."""
    broken, other = stale
    fail_first(error)
    assert (refresh_stale(), refresh_stale()) == (2, 0)
    assert other.calls.filter(kind="refresh").exists()
    assert f"not refreshed: delivery={broken.pk} error={type(error).__name__}" in caplog.text
    assert "+7 701" not in caplog.text
    fake_clock.advance(hours=1)
    assert broken in Delivery.objects.stale(fake_clock.now)


def test_a_row_that_cannot_be_delayed_delays_no_other(stale, fail_first, monkeypatch, caplog):
    """The table may refuse every change of the row."""
    broken, other = stale
    fail_first(ValueError())
    monkeypatch.setattr(DeliveryQuerySet, "update", Mock(side_effect=DataError("+7 701")))
    assert refresh_stale() == 1
    assert other.calls.filter(kind="refresh").exists()
    assert f"deferred: delivery={broken.pk} error=DataError" in caplog.text


@pytest.mark.parametrize("is_available", [True, False])
def test_a_database_error_delays_no_row(fake_clock, stale, fail_first, is_available):
    """A deadlock leaves the row for the next round; an unavailable database ends the round."""
    fail_first(OperationalError(1213, "deadlock") if is_available else OperationalError("the connection is closed"))
    with nullcontext() if is_available else pytest.raises(OperationalError):
        assert refresh_stale() == 1
    assert stale[0] in Delivery.objects.stale(fake_clock.now)
    assert stale[1].calls.filter(kind="refresh").exists() is is_available
