"""What staff can do about one delivery: offered when it is possible, confirmed first, recorded."""

from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import OperationalError

from kaspi_delivery_django import services
from kaspi_delivery_django.admin.confirmation import ConfirmedActionsAdmin
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.deliveries import actions
from tests.admin.conftest import LIST, change_page, choose, message_text
from tests.conftest import NOON
from tests.shop import adapters
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

ALL = ("cancel_delivery", "retry_delivery", "reissue_delivery")
NAMES = ("cancel", "refresh", "retry", "send", "link", "reissue", "acknowledge")


def address(delivery, name):
    """Return the page that confirms an action."""
    return f"{LIST}{delivery.pk}/do/{name}/"


def confirm(client, delivery, name, /, **answers):
    """Confirm an action; return the page that follows."""
    return client.post(address(delivery, name), answers, follow=True)


def offered(client, delivery):
    """Return the names of the buttons on the delivery's page."""
    page = change_page(client, delivery)
    return {name for name in (*NAMES, "mark_final") if address(delivery, name) in page}


def test_each_button_and_each_post_needs_its_permission(staff, lost, kaspi):
    """Abandoning what may be booked weighs as much as rebooking; a forged POST is refused, and nothing changes."""
    allowed = {
        "cancel_delivery": {"cancel"},
        "retry_delivery": {"retry", "link"},
        "reissue_delivery": {"reissue", "acknowledge"},
    }
    assert {permission: offered(staff(permission), lost) for permission in allowed} == allowed
    assert offered(staff(*ALL), lost) == {"cancel", "retry", "link", "reissue", "acknowledge"}
    before, client = len(kaspi.requests), staff()
    forged = {"reason": "x", "name": str(lost), "delivery_id": "dlv_1"}
    assert {client.post(address(lost, name), forged).status_code for name in (*NAMES, "mark_final")} == {403}
    assert (len(kaspi.requests), Delivery.objects.get().attention) == (before, "outcome_unknown")
    assert not LogEntry.objects.exists()


def test_the_confirmation_page_does_nothing(staff, lost):
    """It leads back to the delivery: from the path, from the list of rows, and by its button."""
    user = staff(*ALL)
    pages = [user.get(address(lost, name)) for name in NAMES]
    assert {page.content.decode().count(f"{LIST}{lost.pk}/change/") for page in pages} == {3}
    assert (Delivery.objects.get().attention, ApiCall.objects.get().state) == ("outcome_unknown", "stuck")


def test_unknown_rows_and_actions_are_not_found(staff, booked):
    """A user who cannot view deliveries does not even learn which there are."""
    client = staff(*ALL)
    assert client.get(address(booked, "explode")).status_code == 404
    assert client.get(f"{LIST}999999/do/cancel/").status_code == 404
    User.objects.get().user_permissions.clear()
    assert [client.get(f"{LIST}{pk}/do/cancel/").status_code for pk in (booked.pk, 999)] == [403, 403]


def test_a_refusal_of_the_service_is_shown_and_recorded(staff, lost):
    """Too old to be retried: the message says why, and so does the log."""
    ApiCall.objects.update(unknown_since=NOON.replace(year=2025))
    assert "too old to be safe" in message_text(confirm(staff(*ALL), lost, "retry"))
    assert ApiCall.objects.get().state == "stuck"
    why, asked = LogEntry.objects.order_by("-pk").values_list("change_message", flat=True)
    assert asked == "Retry now"
    assert "too old to be safe" in why


def test_link_fetches_from_kaspi_first(staff, lost, kaspi, inline):
    """An id that Kaspi does not have changes nothing; the id that was named is recorded."""
    user, [remote] = staff(*ALL), kaspi.deliveries.values()
    assert "Kaspi has no delivery" in message_text(confirm(user, lost, "link", delivery_id="dlv_nowhere"))
    assert Delivery.objects.get().attention == "outcome_unknown"
    assert LogEntry.objects.get().change_message == "Link Kaspi's delivery: delivery_id=dlv_nowhere"
    page = confirm(user, lost, "link", delivery_id=remote.delivery_id)
    assert f"linked to {remote.delivery_id}" in message_text(page)
    linked = Delivery.objects.get()
    assert (linked.delivery_id, linked.status, linked.attention) == (remote.delivery_id, "created", "")


def test_link_reports_what_is_known(staff, lost, kaspi):
    """Without an answer yet, that Kaspi is asked; an id of another delivery is not linked."""
    user = staff(*ALL)
    assert "Kaspi is asked whether" in message_text(confirm(user, lost, "link", delivery_id="dlv_1"))
    known = {"account": "default", "environment": "sandbox", "content_type": lost.content_type}
    taken = next(iter(kaspi.deliveries))
    Delivery.objects.create(**known, object_id="other", external_order_id="other", delivery_id=taken)
    Delivery.objects.filter(pk=lost.pk).update(attention="second_parcel")
    assert "belongs to another delivery" in message_text(confirm(user, lost, "link", delivery_id=taken))


@pytest.mark.parametrize("action", ["reissue", "acknowledge"])
def test_what_kaspi_may_have_needs_the_name_and_the_tick(staff, lost, action):
    """No double click rebooks or abandons a delivery that Kaspi may have booked."""
    user = staff("reissue_delivery")
    wrong = confirm(user, lost, action, name="order-0", confirmed_absent="on")
    assert "That is not its number" in wrong.content.decode()
    assert confirm(user, lost, action, name=str(lost)).context["form"].errors.keys() == {"confirmed_absent"}
    assert Delivery.objects.get().attention == "outcome_unknown"
    confirm(user, lost, action, name=str(lost), confirmed_absent="on")
    assert (Delivery.objects.count(), Delivery.objects.first().attention) == (1 + (action == "reissue"), "")


def test_a_refused_delivery_is_rebooked_once(staff, refused, drain):
    """Nothing was booked, so one confirmation is enough. An order whose key is of another type now is gone."""
    user, key = staff(*ALL), refused.object_id
    Delivery.objects.update(object_id="not-a-number")
    assert "The order is gone" in message_text(confirm(user, refused, "reissue"))
    Delivery.objects.update(object_id=key)
    LogEntry.objects.all().delete()
    assert f"rebooked as {refused}-2" in message_text(confirm(user, refused, "reissue"))
    assert "Rebook" in LogEntry.objects.get().change_message
    assert "later delivery already" in message_text(confirm(user, refused, "reissue"))
    drain()
    first, second = Delivery.objects.order_by("generation")
    assert (first.attention, second.status) == ("", "created")


def test_acknowledge_names_the_reason_that_is_left(staff, booked):
    """The delivery stays on the list for it, until that is acknowledged too."""
    services.refresh_delivery(booked)
    ApiCall.objects.filter(kind="refresh").update(state="stuck", reason="not_found", next_attempt_at=None)
    Delivery.objects.update(attention="cancel_refused")
    user = staff(*ALL)
    assert "Kaspi does not know the delivery" in message_text(confirm(user, booked, "acknowledge"))
    assert "taken off the list" in message_text(confirm(user, booked, "acknowledge"))


@pytest.mark.parametrize(("permission", "left"), [("retry_delivery", "cancel_unknown"), ("cancel_delivery", "")])
def test_a_pending_cancel_is_abandoned_only_by_users_who_can_cancel(staff, booked, permission, left):
    """A colleague asked for it, and it may still be sent."""
    services.cancel_delivery(booked)
    ApiCall.objects.filter(kind="cancel").update(state="stuck", reason="cancel_unknown", next_attempt_at=None)
    Delivery.objects.update(attention="cancel_unknown")
    confirm(staff(permission), booked, "acknowledge")
    assert Delivery.objects.get().attention == left


def test_refresh_asks_kaspi(staff, booked, kaspi, drain):
    """Its answer is taken as it is."""
    kaspi.move(booked.delivery_id, "in_transit")
    assert "Kaspi is asked" in message_text(confirm(staff(*ALL), booked, "refresh"))
    drain()
    assert Delivery.objects.get().status == "in_transit"


def test_every_action_is_recorded(staff, booked):
    """Who and what, in the admin's own log; the reason is on the delivery, where it can be hidden and anonymized."""
    confirm(staff(*ALL), booked, "cancel", reason="Aigerim called")
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id) == ("operator", str(booked.pk))
    assert entry.change_message == "Cancel delivery"


def test_an_error_of_one_row_is_reported(staff, booked, monkeypatch):
    """It stops no other; a database that is unavailable is for the site's own error page."""
    errors = [OperationalError("database is locked"), Delivery.DoesNotExist("it is gone"), OperationalError("gone")]
    monkeypatch.setattr(actions, "cancel_delivery", Mock(side_effect=errors))
    user = staff(*ALL)
    assert "the database was busy" in message_text(confirm(user, booked, "cancel", reason="no"))
    assert "it is gone" in message_text(confirm(user, booked, "cancel", reason="no"))
    with pytest.raises(OperationalError):
        confirm(user, booked, "cancel", reason="no")


def test_a_page_must_name_its_actions():
    """A page that forgets to is found at once."""
    page = ConfirmedActionsAdmin(Delivery, admin.site)
    for find in (lambda: page.row_actions(None), lambda: page.row_action(None, "cancel")):
        with pytest.raises(NotImplementedError):
            find()


def test_the_question_depends_on_what_was_sent(staff, due, drain):
    """Where nothing was booked, no courier is cancelled, and none comes a second time."""
    user, delivery = staff(*ALL), due.delivery
    ApiCall.objects.update(state="stuck", reason="adapter_failed", next_attempt_at=None)
    Delivery.objects.update(attention="adapter_failed")
    unsent = {"cancel": "nothing will be booked", "retry": "for the first time", "reissue": "Nothing is booked so far"}
    for name, words in unsent.items():
        assert words in user.get(address(delivery, name)).content.decode()
    confirm(user, delivery, "retry")
    drain()
    for name, words in {"cancel": "Kaspi will be asked", "reissue": "another courier comes"}.items():
        assert words in user.get(address(delivery, name)).content.decode()


def test_a_question_that_has_changed_is_asked_again(staff, due, drain, monkeypatch, fake_clock):
    """As for a delivery that is booked later, and that staff who can retry send now."""
    opens = fake_clock.now + timedelta(hours=9)
    monkeypatch.setattr(adapters.OrderAdapter, "not_before", lambda _self, _order: opens)
    drain()
    client, delivery = staff(*ALL), due.delivery
    page = client.get(address(delivery, "send_early"))
    assert "The shop wants it to be booked later. It is booked at once: a courier comes." in page.content.decode()
    again = confirm(client, delivery, "send_early", question="another one")
    assert "It has changed meanwhile: read what is asked now." in again.content.decode()
    assert Delivery.objects.get().is_postponed
    confirm(client, delivery, "send_early", **again.context["hidden"])
    drain()
    assert Delivery.objects.get().status == "created"


def test_an_unknown_status_is_marked_as_final(staff, booked):
    """By users who can retry; then it is not offered again. A known status is not marked, whatever the address."""
    client = staff("retry_delivery")
    assert offered(client, booked) == {"refresh"}
    assert "Only a status that is new" in message_text(confirm(client, booked, "mark_final"))
    LogEntry.objects.all().delete()
    Delivery.objects.update(status="returned", attention="unknown_status")
    assert offered(staff("cancel_delivery"), booked) == {"cancel"}
    client = staff("retry_delivery")
    assert "mark_final" in offered(client, booked)
    assert "marked as final" in message_text(confirm(client, booked, "mark_final"))
    booked.refresh_from_db()
    assert (booked.final_at is not None, booked.attention) == (True, "")
    assert LogEntry.objects.get().change_message == "Mark as final"
    assert "mark_final" not in offered(client, booked)


def test_only_send_it_overrules_the_adapter(staff, kaspi, drain, fake_clock):
    """A plain retry, of one or in bulk, says why not; "Send it" says what it means, and is recorded."""
    Order.objects.create()
    Order.objects.update(paid=False)
    drain()
    fake_clock.advance(minutes=15)
    drain()
    user, held = staff("retry_delivery"), Delivery.objects.get()
    for page in (confirm(user, held, "retry"), choose(user, [held], "retry_deliveries", apply="1")):
        assert "does not want it sent" in message_text(page)
    drain()
    assert kaspi.requests == []
    assert "all the same" in user.get(address(held, "send")).content.decode()
    assert "sent now" in message_text(confirm(user, held, "send"))
    drain()
    assert Delivery.objects.get().status == "created"
    assert LogEntry.objects.latest("pk").change_message == "Send it"


def test_a_retry_of_what_was_never_wanted_says_that_it_left_the_list(staff, kaspi, monkeypatch):
    """Its row is gone."""
    with monkeypatch.context() as broken:
        broken.setattr(adapters.OrderAdapter, "wants_delivery", adapters.BrokenAdapter.wants_delivery)
        Order.objects.create(paid=False)
    page = confirm(staff("retry_delivery"), Delivery.objects.get(), "retry")
    assert "saving the order asks again" in message_text(page)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 401}, "not cancelled yet: Kaspi answered 401"),
        ({"status": 429, "retry_after": 600}, "not cancelled yet: Kaspi answered 429"),
        ({"drop": "before"}, "not cancelled yet: Kaspi did not answer"),
        ({"status": 404}, "Kaspi does not know the delivery"),
        ({"status": 409}, "already in transit, or has ended"),
        ({"status": 400}, "not cancelled: Kaspi answered 400"),
        ({"body": b'{"deliveryId": "dlv_other", "status": "created"}'}, "not known whether"),
        ({}, "cancelled."),
    ],
)
def test_a_cancel_reports_what_became_of_it(staff, booked, kaspi, inline, fault, words):
    """And what happens next; never that it is cancelled when it is not."""
    if fault:
        kaspi.faults.add(Fault(operation="cancel", **fault))
    assert words in message_text(confirm(staff(*ALL), booked, "cancel", reason="out of stock"))


def test_a_cancel_behind_an_open_circuit_breaker_says_until_when(staff, booked):
    """Nothing was sent."""
    known = {"account": "default", "environment": booked.environment}
    AccountState.objects.update_or_create(**known, defaults={"closed_until": NOON + timedelta(days=1)})
    page = confirm(staff(*ALL), booked, "cancel", reason="out of stock")
    assert "not cancelled yet: the request is sent automatically" in message_text(page)
