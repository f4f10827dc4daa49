"""Rows for every page: a morning at a shop where something of each kind has happened."""

from datetime import timedelta
from types import SimpleNamespace

from django.db import transaction

from kaspi_delivery_django import services
from kaspi_delivery_django.models import Delivery, PendingAction, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.conftest import event

WAY = ("created", "accepted", "in_transit", "out_for_delivery", "delivered")
NOTHING_TO_RETRY = 'There is nothing to retry. To resend a refused booking, use "Rebook".'
NOBODYS = SimpleNamespace(delivery_id="dlv_of_nobody", external_order_id="order-0")


def book(make_order, **fields):
    """Save an order with its lines, as a checkout does; return its delivery."""
    with transaction.atomic():
        order = make_order(**fields)
    return Delivery.objects.get(object_id=str(order.pk))


def edit(delivery):
    """Edit the order after it was booked, and let the worker notice."""
    order = delivery.order
    order.address = "Dostyk Avenue 240"
    order.save()
    services.refresh_delivery(delivery)


def fail(event_id):
    """Let an event be one that could not be applied."""
    WebhookEvent.objects.filter(event_id=event_id).update(state="failed", error="DataError")


def fill(kaspi, make_order, post_webhook, fake_clock):
    """Make rows of every table: what goes well, what is late, what was refused, what is pending."""
    kaspi.faults.add(Fault(operation="create", status=422))
    refused = book(make_order)
    under_way, cancelled, edited = (book(make_order) for _ in range(3))
    post_webhook(event(under_way, "in_transit"))
    services.cancel_delivery(cancelled, reason="out of stock")
    edit(edited)
    post_webhook(event(edited, "accepted", event_id="wh_accepted"))
    post_webhook(event(under_way, "delivered", event_id="wh_failed"))
    fail("wh_failed")
    post_webhook(event(NOBODYS, "created", event_id="wh_parked"))
    asked = {"name": "retry", "asked_by": "operator", "created_at": fake_clock.now, "reason": "again"}
    PendingAction.objects.create(**asked, delivery=refused)
    PendingAction.objects.create(**asked, delivery=cancelled, failed_at=fake_clock.now, failure=NOTHING_TO_RETRY)
    Worker(log=lambda _line: None).run_round()
    Delivery.objects.filter(pk=under_way.pk).update(
        status="in_transit", delivery_by=fake_clock.now - timedelta(hours=2), tracking_url="https://track.kaspi.kz/1"
    )
