"""What a test may assert of an order, and the text of an assertion that fails."""

import re
from functools import partial

import pytest

from kaspi_delivery_django.exceptions import NoAdapter
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services import cancel_delivery, reissue_delivery
from kaspi_delivery_django.signals import delivery_status_changed
from kaspi_delivery_django.testing import kaspi_sandbox
from tests.docs.pages import ROOT
from tests.shop.models import Line, Note, Order

pytestmark = pytest.mark.django_db


def failure(assertion, *args):
    """Return the text of an assertion that fails."""
    with pytest.raises(AssertionError) as raised:
        assertion(*args)
    return str(raised.value)


def book_again_at_kaspi(kaspi, booked):
    """Have one booking more at Kaspi than the package knows of."""
    [fake] = kaspi.fakes.values()
    return fake._book(kaspi.booking_of(booked).request)


def test_before_anything_was_sent(kaspi, order):
    """Neither booked nor not booked, nor up to date: the text has what is pending."""
    assert failure(kaspi.assert_booked_once, order).splitlines() == [
        f"shop.Order {order.pk}: Kaspi has 0 deliveries of it.",
        "  Kaspi has no delivery",
        f"  The package has order-{order.pk}: delivery id unknown, status unknown",
        "  Its create is due, attempts: 0",
    ]
    assert "call send_due() first" in failure(kaspi.assert_not_booked, order)
    assert "it has an unfinished call" in failure(kaspi.assert_up_to_date, order)


def test_booked_once(kaspi, order):
    """One booking, known on both sides; a second one at Kaspi is found, whatever the tables have."""
    kaspi.send_due()
    kaspi.assert_booked_once(order)
    assert f"shop.Order {order.pk}: it is booked." in failure(kaspi.assert_not_booked, order)
    second = book_again_at_kaspi(kaspi, order)
    text = failure(kaspi.assert_booked_once, order)
    assert "Kaspi has 2 deliveries of it" in text
    assert f"Kaspi has {second.delivery_id} for order-{order.pk}: created" in text


def test_the_documentation_shows_the_text_of_a_failure(kaspi, order):
    """The sample of docs/testing.md is the text after an error."""
    kaspi.fail_next("create", status=503)
    kaspi.send_due()
    text = failure(kaspi.assert_booked_once, order).replace(f"Order {order.pk}:", "Order 7:")
    assert text.splitlines()[-1].strip() == (
        "Its create is unknown, attempts: 1, last response 503 internal_error A fault set on the sandbox."
    )
    documented = (ROOT / "docs" / "testing.md").read_text()
    assert f"```text\n{text.replace(f'order-{order.pk}:', 'order-7:')}\n```" in documented


def test_not_booked_once_when_the_package_does_not_know(kaspi, order):
    """A booking whose answer was lost is not one that the shop can show."""
    kaspi.time_out_next("create")
    kaspi.send_due()
    assert "the package does not know dlv_" in failure(kaspi.assert_booked_once, order)


def test_booked_once_again(kaspi, order):
    """A rebooked order has one active parcel; if the first one is active again, it has two."""
    first = kaspi.deliver(order, until="created")
    reissue_delivery(kaspi.move(order, "cancelled"))
    kaspi.send_due()
    kaspi.assert_booked_once(order)
    assert [record.status for record in kaspi.bookings_of(order)] == ["created", "cancelled"]
    [fake] = kaspi.fakes.values()
    fake.move(first.delivery_id, "created")
    assert f"{first.delivery_id} is active too" in failure(kaspi.assert_booked_once, order)


@pytest.mark.parametrize("status", [401, 422, 429, 503])
def test_not_booked(kaspi, order, status):
    """Whatever Kaspi's error was, and an order that is not paid."""
    kaspi.fail_next("create", status=status)
    unpaid = Order.objects.create(paid=False)
    kaspi.send_due()
    kaspi.assert_not_booked(order)
    kaspi.assert_not_booked(unpaid)


def test_a_status(kaspi, order):
    """The text has both the current status and the one that was expected."""
    kaspi.deliver(order, until="accepted")
    kaspi.assert_status(order, "accepted")
    assert "its status is 'accepted', not 'created'" in failure(kaspi.assert_status, order, "created")


def test_cancelled(kaspi, order):
    """At Kaspi, or before anything was sent; the request alone is not enough."""
    cancel_delivery(kaspi.delivery_of(order))
    assert kaspi.send_due() == 0
    kaspi.assert_cancelled(order)
    later = Order.objects.create()
    cancel_delivery(kaspi.deliver(later, until="accepted"))
    assert re.search(r"dlv_\w+ is accepted at Kaspi", failure(kaspi.assert_cancelled, later))
    kaspi.send_due()
    kaspi.assert_cancelled(later)


def test_not_cancelled_before_the_webhook(kaspi, order):
    """Kaspi cancelled it, and the webhook is still on its way."""
    delivery = kaspi.deliver(order, until="accepted")
    [fake] = kaspi.fakes.values()
    fake.move(delivery.delivery_id, "cancelled")
    assert "its status is 'accepted', not 'cancelled'" in failure(kaspi.assert_cancelled, order)
    kaspi.send_webhooks()
    kaspi.assert_cancelled(order)


def test_needs_attention(kaspi, order):
    """The text has the reason, and Kaspi's answer; a mistyped reason is an error, not an assertion."""
    kaspi.fail_next("create", status=422)
    kaspi.send_due()
    kaspi.assert_needs_attention(order, "refused")
    text = failure(kaspi.assert_needs_attention, order, Attention.TOO_OLD)
    assert "it does not need attention because of 'too_old'" in text
    assert "needs attention: refused" in text
    assert "Its create is refused, attempts: 1, last response 422" in text
    assert "it needs attention because of 'refused'" in failure(kaspi.assert_up_to_date, order)
    with pytest.raises(ValueError, match="refusd"):
        kaspi.assert_needs_attention(order, "refusd")


def test_up_to_date(kaspi, order):
    """A parcel that arrived leaves nothing to do, unless a receiver of the shop has raised."""
    kaspi.deliver(order)
    kaspi.assert_up_to_date(order)

    def breaks(**_kwargs):
        raise ValueError

    delivery_status_changed.connect(breaks)
    later = Order.objects.create()
    kaspi.send_due()
    delivery_status_changed.disconnect(breaks)
    assert "a signal receiver raised at 'created'" in failure(kaspi.assert_up_to_date, later)


def test_an_order_without_a_delivery(kaspi):
    """The text has a guess at why."""
    [order] = Order.objects.bulk_create([Order()])
    text = failure(kaspi.delivery_of, order)
    assert f"shop.Order {order.pk}: it has no delivery." in text
    assert "bulk_create() and update() send no signals." in text


def test_a_delivery_that_was_made_outside(settings):
    """The text names the environment that an order had before the sandbox was opened."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ENVIRONMENT": "local"}
    order = Order.objects.create()
    with kaspi_sandbox() as kaspi:
        text = failure(kaspi.delivery_of, order)
    assert "It was saved outside the sandbox, with ENVIRONMENT 'local': save it inside" in text


def test_an_order_of_no_adapter(kaspi, order):
    """The error names the setting; a delivery of an account that is gone is none."""
    with pytest.raises(NoAdapter, match=r"No adapter in KASPI_DELIVERY\['ORDER_ADAPTERS'\] is for shop.Note"):
        kaspi.assert_booked_once(Note.objects.create())
    Delivery.objects.update(account="gone")
    assert "it has no delivery" in failure(kaspi.assert_booked_once, order)


def test_no_personal_data_is_shown(kaspi, order):
    """Name, phone and address stay in their columns."""
    kaspi.send_due()
    text = failure(partial(kaspi._fail, order), "wrong")
    assert ApiCall.objects.get().payload.count(order.phone) == 1
    assert not [secret for secret in (order.phone, order.address, "Aigerim") if secret in text]


def test_an_order_stays_wanted_through_its_later_states(kaspi, order):
    """Nothing of it is written; a state that would cancel it is found, and one in which it is not wanted."""
    kaspi.assert_stays_wanted(order, {"status": "packed"}, {"status": "shipped", "address": "Abay 2"})
    assert not hasattr(order, "status")
    order.refresh_from_db()
    assert order.address != "Abay 2"
    text = failure(kaspi.assert_stays_wanted, order, {"cancelled": True})
    assert "wants_cancel returns True (cancelled=True)" in text
    text = failure(kaspi.assert_stays_wanted, order, {"status": "packed"}, {"paid": False})
    assert "wants_delivery returns False (paid=False)" in text
    order.paid = False
    assert "wants_delivery returns False (unchanged)" in failure(kaspi.assert_stays_wanted, order)


def test_each_parcel_of_an_order_is_booked_once(kaspi, configure):
    """One that Kaspi has twice is found."""
    configure(ORDER_ADAPTERS=["tests.shop.adapters.WarehousesAdapter"])
    order = Order.objects.create()
    Line.objects.bulk_create(Line(order=order, title=key) for key in ("almaty", "taraz"))
    kaspi.send_due()
    kaspi.assert_booked_once(order)
    assert len(kaspi.bookings_of(order)) == 2
    book_again_at_kaspi(kaspi, Delivery.objects.get(parcel="taraz"))
    assert "Kaspi has 2 deliveries of it" in failure(kaspi.assert_booked_once, order)
