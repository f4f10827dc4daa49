"""The shop's latest word counts on every way that a first create takes, and of orders that their managers hide."""

import pytest
from django.core.management import call_command
from django.db import models

from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import bulk_actions
from kaspi_delivery_django.services.outbox import sender
from tests.services.conftest import fresh
from tests.shop import adapters
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

DELETED = "deleted"


class Undeleted(models.Manager):
    """Hides what is marked as deleted."""

    def get_queryset(self):
        """Leave out the orders that are marked."""
        return super().get_queryset().exclude(address=DELETED)


class SoftDeletingAdapter(adapters.OrderAdapter):
    """Wants a marked order cancelled."""

    def wants_cancel(self, order):
        return order.address == DELETED


@pytest.fixture
def hide(monkeypatch, settings):
    """Make one of the model's managers, `default` or `base`, hide what is marked as deleted."""

    def run(which):
        manager = Undeleted()
        manager.model, manager.name = Order, "undeleted"
        monkeypatch.setitem(Order._meta.__dict__, f"{which}_manager", manager)
        adapters = [f"{__name__}.{SoftDeletingAdapter.__name__}"]
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": adapters}

    return run


def by_enqueueing(_drain):
    """Book an order that no signal has told of."""
    Order.objects.bulk_create([Order()])
    call_command("kaspi_enqueue")


def by_a_bulk_retry(drain):
    """Hand a retry of what has failed to the worker, which lets it go."""
    Order.objects.create()
    ApiCall.objects.update(state="stuck", reason="adapter_failed", next_attempt_at=None)
    Delivery.objects.update(attention="adapter_failed")
    bulk_actions.queue("retry", [Delivery.objects.get().pk])
    bulk_actions.run_pending(limit=9)


WAYS = [by_enqueueing, by_a_bulk_retry]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def waiting(request, monkeypatch, drain):
    """Return a first create that is due in one of the ways."""
    monkeypatch.setattr(adapters.OrderAdapter, "orders_to_enqueue", lambda _self: Order.objects.all(), raising=False)
    request.param(drain)
    call = ApiCall.objects.get()
    assert call.state == "due"
    return call


def test_a_cancel_by_update_ends_it(waiting, drain, kaspi):
    """Nothing is sent."""
    Order.objects.update(cancelled=True)
    drain()
    assert kaspi.requests == []
    assert fresh(waiting.delivery).status == "cancelled"


def test_a_no_by_update_has_it_wait(waiting, drain, kaspi):
    """Nothing is sent, and nothing is abandoned."""
    Order.objects.update(paid=False)
    drain()
    assert kaspi.requests == []
    assert (fresh(waiting).state, fresh(waiting).reason) == ("due", "not_wanted")


def test_a_cancel_before_a_bulk_retry_ends_it_too(due, drain, kaspi):
    """The worker does the retry when the order is cancelled already."""
    ApiCall.objects.update(state="stuck", reason="adapter_failed", next_attempt_at=None)
    Delivery.objects.update(attention="adapter_failed")
    bulk_actions.queue("retry", [due.delivery_id])
    Order.objects.update(cancelled=True)
    drain()
    assert kaspi.requests == []
    assert fresh(due.delivery).status == "cancelled"


@pytest.mark.parametrize("which", ["default", "base"])
def test_an_order_that_is_marked_as_deleted_is_not_sent(due, kaspi, hide, which):
    """Its adapter is asked where the base manager finds it; where that hides it, it counts as deleted."""
    hide(which)
    Order.objects.update(address=DELETED)
    assert sender.send(due.pk) is False
    assert kaspi.requests == []
    assert fresh(due.delivery).status == "cancelled"


def test_what_a_default_manager_hides_is_sent_if_it_is_wanted(due, kaspi, hide, settings):
    """The adapter decides, not a manager for the shop's own lists."""
    hide("default")
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": ["tests.shop.adapters.OrderAdapter"]}
    Order.objects.update(address=DELETED)
    assert sender.send(due.pk)
    assert fresh(due.delivery).status == "created"


@pytest.mark.parametrize("which", ["default", "base"])
def test_an_order_that_nothing_hides_is_sent(due, kaspi, hide, which):
    """Whatever its managers would hide."""
    hide(which)
    assert sender.send(due.pk)
    assert fresh(due.delivery).status == "created"
