"""What a test may claim of an order, and what it reads when the claim does not hold."""

import re
from functools import partial
from pathlib import Path

import pytest

from kaspi_delivery_django.exceptions import NoAdapter
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services import cancel_delivery, reissue_delivery
from kaspi_delivery_django.signals import delivery_status_changed
from kaspi_delivery_django.testing import kaspi_sandbox
from tests.shop.adapters import OrderAdapter
from tests.shop.models import Line, Note, Order

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(kaspi):
    """A paid order, saved inside of the sandbox."""
    return Order.objects.create()


@pytest.fixture
def refuted():
    """Return what a claim says that does not hold."""

    def run(claim, *args):
        with pytest.raises(AssertionError) as raised:
            claim(*args)
        return str(raised.value)

    return run


def book_behind_our_back(kaspi, order):
    """Let Kaspi have one booking more than the package knows of."""
    [fake] = kaspi.fakes.values()
    return fake._book(kaspi.booking_of(order).request)


def test_booked_once(kaspi, order):
    """One booking, known on both sides."""
    kaspi.send_due()
    kaspi.assert_booked_once(order)


def test_not_booked_once_when_nothing_was_sent(kaspi, order, refuted):
    """The text says what waits."""
    text = refuted(kaspi.assert_booked_once, order)
    assert text.splitlines() == [
        f"shop.Order {order.pk}: Kaspi has 0 deliveries of it.",
        "  Kaspi has no delivery",
        f"  The package has order-{order.pk}: delivery id unknown, status unknown",
        "  Its create is due, attempts: 0",
    ]


def test_the_documentation_shows_what_a_test_says(kaspi, order, refuted):
    """The sample of docs/testing.md is what is said after an error."""
    kaspi.fail_next("create", status=503)
    kaspi.send_due()
    said = refuted(kaspi.assert_booked_once, order).replace(f"Order {order.pk}:", "Order 7:")
    assert said.splitlines()[-1].strip() == (
        "Its create is unknown, attempts: 1, last response 503 internal_error A fault set on the sandbox."
    )
    documented = (ROOT / "docs" / "testing.md").read_text()
    assert f"```text\n{said.replace(f'order-{order.pk}:', 'order-7:')}\n```" in documented


def test_not_booked_once_when_kaspi_has_two(kaspi, order, refuted):
    """Kaspi's books count, whatever the tables say."""
    kaspi.send_due()
    second = book_behind_our_back(kaspi, order)
    text = refuted(kaspi.assert_booked_once, order)
    assert "Kaspi has 2 deliveries of it" in text
    assert f"Kaspi has {second.delivery_id} for order-{order.pk}: created" in text


def test_not_booked_once_when_the_package_does_not_know(kaspi, order, refuted):
    """A booking whose answer was lost is not one that the shop can show."""
    kaspi.time_out_next("create")
    kaspi.send_due()
    assert "the package does not know dlv_" in refuted(kaspi.assert_booked_once, order)


def test_booked_once_again(kaspi, order):
    """An order that was cancelled and booked anew has one parcel under way."""
    kaspi.deliver(order, until="created")
    reissue_delivery(kaspi.move(order, "cancelled"))
    kaspi.send_due()
    kaspi.assert_booked_once(order)
    assert [record.status for record in kaspi.bookings_of(order)] == ["created", "cancelled"]


def test_not_booked_once_when_an_earlier_parcel_is_under_way(kaspi, order, refuted):
    """A parcel that came back to life is a second one."""
    first = kaspi.deliver(order, until="created")
    reissue_delivery(kaspi.move(order, "cancelled"))
    kaspi.send_due()
    [fake] = kaspi.fakes.values()
    fake.move(first.delivery_id, "created")
    assert f"{first.delivery_id} is active too" in refuted(kaspi.assert_booked_once, order)


def test_not_booked(kaspi):
    """An order that is not paid is not booked, and has no delivery."""
    order = Order.objects.create(paid=False)
    kaspi.send_due()
    kaspi.assert_not_booked(order)


def test_not_booked_is_no_claim_before_anything_was_sent(kaspi, order, refuted):
    """It would hold by itself, and say nothing."""
    assert "call send_due() first" in refuted(kaspi.assert_not_booked, order)


@pytest.mark.parametrize("status", [401, 422, 429, 503])
def test_not_booked_because_kaspi_did_not_take_it(kaspi, order, status):
    """Whatever Kaspi's answer was, also one that closes the way for everybody."""
    kaspi.fail_next("create", status=status)
    kaspi.send_due()
    kaspi.assert_not_booked(order)


def test_not_booked_does_not_hold_for_a_booking(kaspi, order, refuted):
    """The text names it."""
    kaspi.send_due()
    assert f"shop.Order {order.pk}: it is booked." in refuted(kaspi.assert_not_booked, order)


def test_a_status(kaspi, order, refuted):
    """The text has both the status that is and the one that was claimed."""
    kaspi.deliver(order, until="accepted")
    kaspi.assert_status(order, "accepted")
    assert "its status is 'accepted', not 'created'" in refuted(kaspi.assert_status, order, "created")


def test_cancelled_at_kaspi(kaspi, order):
    """A cancel that Kaspi carried out."""
    cancel_delivery(kaspi.deliver(order, until="accepted"))
    kaspi.send_due()
    kaspi.assert_cancelled(order)


def test_cancelled_before_anything_was_sent(kaspi, order):
    """What was taken back in time is never sent."""
    cancel_delivery(kaspi.delivery_of(order))
    assert kaspi.send_due() == 0
    kaspi.assert_cancelled(order)


def test_not_cancelled_while_a_parcel_is_under_way(kaspi, order, refuted):
    """The wish alone is not enough."""
    cancel_delivery(kaspi.deliver(order, until="accepted"))
    assert re.search(r"dlv_\w+ is accepted at Kaspi", refuted(kaspi.assert_cancelled, order))


def test_not_cancelled_before_the_shop_has_heard(kaspi, order, refuted):
    """Kaspi cancelled it, and the webhook is still on its way."""
    delivery = kaspi.deliver(order, until="accepted")
    [fake] = kaspi.fakes.values()
    fake.move(delivery.delivery_id, "cancelled")
    assert "its status is 'accepted', not 'cancelled'" in refuted(kaspi.assert_cancelled, order)
    kaspi.send_webhooks()
    kaspi.assert_cancelled(order)


def test_needs_attention(kaspi, order, refuted):
    """The reason counts; the text has the one that is, and what Kaspi answered."""
    kaspi.fail_next("create", status=422)
    kaspi.send_due()
    kaspi.assert_needs_attention(order, "refused")
    text = refuted(kaspi.assert_needs_attention, order, Attention.TOO_OLD)
    assert "it does not need attention because of 'too_old'" in text
    assert "needs attention: refused" in text
    assert "Its create is refused, attempts: 1, last response 422" in text


def test_a_reason_that_there_is_not(kaspi, order):
    """A mistyped reason is an error, not a claim."""
    with pytest.raises(ValueError, match="refusd"):
        kaspi.assert_needs_attention(order, "refusd")


def test_settled(kaspi, order):
    """A parcel that arrived leaves nothing to do."""
    kaspi.deliver(order)
    kaspi.assert_up_to_date(order)


def test_not_settled_while_a_call_waits(kaspi, order, refuted):
    """A booking that is due is work."""
    assert "it has an unfinished call" in refuted(kaspi.assert_up_to_date, order)


def test_not_settled_while_a_person_is_needed(kaspi, order, refuted):
    """The text says what for."""
    kaspi.fail_next("create", status=422)
    kaspi.send_due()
    assert "it needs attention because of 'refused'" in refuted(kaspi.assert_up_to_date, order)


def test_not_settled_when_a_receiver_has_raised(kaspi, order, refuted):
    """The package bears what the shop's code raises, and a test must not."""

    def breaks(**_kwargs):
        raise ValueError

    delivery_status_changed.connect(breaks)
    kaspi.send_due()
    delivery_status_changed.disconnect(breaks)
    assert "a signal receiver raised at 'created'" in refuted(kaspi.assert_up_to_date, order)


def test_an_order_that_nobody_heard_of(kaspi, refuted):
    """The text has a guess at why."""
    [order] = Order.objects.bulk_create([Order()])
    text = refuted(kaspi.delivery_of, order)
    assert f"shop.Order {order.pk}: it has no delivery." in text
    assert "bulk_create() and update() send no signals." in text


def test_a_delivery_that_was_made_outside(settings, refuted):
    """An order that a class saved before the sandbox was opened says so, when the environment differs."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ENVIRONMENT": "local"}
    order = Order.objects.create()
    with kaspi_sandbox() as kaspi:
        text = refuted(kaspi.delivery_of, order)
    assert "It was saved outside the sandbox, with ENVIRONMENT 'local': save it inside" in text


def test_an_order_of_no_adapter(kaspi):
    """The error names the setting."""
    with pytest.raises(NoAdapter, match=r"No adapter in KASPI_DELIVERY\['ORDER_ADAPTERS'\] is for shop.Note"):
        kaspi.assert_booked_once(Note.objects.create())


def test_a_delivery_of_an_account_that_is_gone(kaspi, order, refuted):
    """Kaspi cannot be asked about it, and the claim does not hold."""
    Delivery.objects.update(account="gone")
    assert "it has no delivery" in refuted(kaspi.assert_booked_once, order)


def test_no_customers_data_is_told(kaspi, order, refuted):
    """Name, phone and address stay in their columns."""
    kaspi.send_due()
    text = refuted(partial(kaspi._fail, order), "wrong")
    assert ApiCall.objects.get().payload.count(order.phone) == 1
    assert not [secret for secret in (order.phone, order.address, "Aigerim") if secret in text]


class StatusAdapter(OrderAdapter):
    """Says no as soon as a paid order is packed, as many a first adapter does."""

    def wants_delivery(self, order):
        return getattr(order, "status", "paid") == "paid"


def test_an_order_stays_wanted_through_its_later_states(kaspi, order):
    """Nothing of it is written."""
    kaspi.assert_stays_wanted(order, {"status": "packed"}, {"status": "shipped", "address": "Abay 2"})
    assert not hasattr(order, "status")
    order.refresh_from_db()
    assert order.address != "Abay 2"


def test_an_adapter_that_stops_wanting_is_found(kaspi, order, refuted, settings):
    """With the state that it says no to."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": [f"{__name__}.StatusAdapter"]}
    said = refuted(kaspi.assert_stays_wanted, order, {"status": "packed"})
    assert "wants_delivery returns False (status='packed')" in said


def test_an_order_that_would_be_cancelled_is_found(kaspi, order, refuted):
    """Or one that is not wanted to begin with."""
    text = refuted(kaspi.assert_stays_wanted, order, {"cancelled": True})
    assert "wants_cancel returns True (cancelled=True)" in text
    order.paid = False
    assert "wants_delivery returns False (unchanged)" in refuted(kaspi.assert_stays_wanted, order)


def test_each_parcel_of_an_order_is_booked_once(kaspi, refuted, settings):
    """One that Kaspi has twice is found."""
    paths = ["tests.shop.adapters.WarehousesAdapter"]
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": paths}
    order = Order.objects.create()
    Line.objects.bulk_create(Line(order=order, title=key) for key in ("almaty", "taraz"))
    kaspi.send_due()
    kaspi.assert_booked_once(order)
    assert len(kaspi.bookings_of(order)) == 2
    [fake] = kaspi.fakes.values()
    fake._book(kaspi.booking_of(Delivery.objects.get(parcel="taraz")).request)
    assert "Kaspi has 2 deliveries of it" in refuted(kaspi.assert_booked_once, order)
