"""What staff can do about one delivery: offered when it is possible, asked first, recorded."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import OperationalError

from kaspi_delivery_django import services
from kaspi_delivery_django.admin import confirmation
from kaspi_delivery_django.admin.confirmation import ConfirmedActionsAdmin
from kaspi_delivery_django.models import AccountState, ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import refresh_delivery
from tests.admin.conftest import message_text
from tests.conftest import NOON
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/kaspi_delivery/delivery/"
ALL = ("cancel_delivery", "retry_delivery", "reissue_delivery")
NAMES = ("cancel", "refresh", "retry", "send", "link", "reissue", "acknowledge")


@pytest.fixture
def refused(kaspi, drain):
    """Return a delivery that Kaspi refused to book."""
    kaspi.faults.add(Fault(operation="create", status=422))
    Order.objects.create()
    drain()
    return Delivery.objects.get()


@pytest.fixture
def lost(kaspi, drain):
    """Return a delivery that Kaspi has booked, and whose id is not known: its call is stuck."""
    kaspi.faults.add(Fault(operation="create", drop="after"))
    Order.objects.create()
    drain()
    ApiCall.objects.update(state="stuck", reason="outcome_unknown", next_attempt_at=None)
    Delivery.objects.update(attention="outcome_unknown")
    return Delivery.objects.get()


def address(delivery, name):
    """Return the page that asks."""
    return f"{LIST}{delivery.pk}/do/{name}/"


def confirm(client, delivery, name, /, **answers):
    """Say yes; return the page one lands on."""
    return client.post(address(delivery, name), answers, follow=True)


def offered(client, delivery):
    """Return the names of the buttons on the delivery's page."""
    page = client.get(f"{LIST}{delivery.pk}/change/").content.decode()
    return {name for name in NAMES if address(delivery, name) in page}


def test_a_booked_delivery_offers_what_is_possible(staff, booked):
    """It can be cancelled and asked about; there is nothing to retry, link or book."""
    assert offered(staff(*ALL), booked) == {"cancel", "refresh"}


def test_a_refused_one_offers_the_way_on(staff, refused):
    """A correction is the next delivery; or it is shipped otherwise, or was booked by hand."""
    assert offered(staff(*ALL), refused) == {"cancel", "link", "reissue", "acknowledge"}


def test_an_unknown_one_offers_every_action(staff, lost):
    """Send it again while that is safe, link it, or give it up."""
    assert offered(staff(*ALL), lost) == {"cancel", "retry", "link", "reissue", "acknowledge"}


@pytest.mark.parametrize(
    ("permission", "names"),
    [
        ("cancel_delivery", {"cancel"}),
        ("retry_delivery", {"retry", "link"}),
        ("reissue_delivery", {"reissue", "acknowledge"}),
    ],
)
def test_each_button_needs_its_permission(staff, lost, permission, names):
    """Giving up what may be booked weighs as much as booking anew."""
    assert offered(staff(permission), lost) == names


@pytest.mark.parametrize("name", NAMES)
def test_the_post_needs_the_permission_too(staff, lost, kaspi, name):
    """A forged POST is refused, nothing changes, and Kaspi hears nothing."""
    before = len(kaspi.requests)
    answer = staff().post(address(lost, name), {"reason": "x", "name": str(lost), "delivery_id": "dlv_1"})
    assert answer.status_code == 403
    assert len(kaspi.requests) == before
    assert Delivery.objects.get().attention == "outcome_unknown"
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("name", NAMES)
def test_looking_at_the_question_does_nothing(staff, lost, name):
    """Only the confirmation does."""
    user = staff(*ALL)
    assert user.get(address(lost, name)).status_code == 200
    assert Delivery.objects.get().attention == "outcome_unknown"
    assert ApiCall.objects.get().state == "stuck"


def test_what_does_not_exist_is_not_found(staff, booked):
    """Neither an exit of another name nor another delivery."""
    user = staff(*ALL)
    assert user.get(address(booked, "explode")).status_code == 404
    assert user.get(f"{LIST}999999/do/cancel/").status_code == 404


def test_retry_sends_the_same_bytes_again(staff, lost, kaspi, drain):
    """The key replays: still one parcel, and now it is ours."""
    page = confirm(staff(*ALL), lost, "retry")
    drain()
    assert "sent now" in message_text(page)
    assert len(kaspi.deliveries) == 1
    assert Delivery.objects.get().delivery_id
    bodies = {request.body for request in kaspi.requests if request.idempotency_key}
    assert len(bodies) == 1


def test_a_retry_that_is_not_safe_says_why(staff, lost):
    """After 23 hours the operator reads what to do instead."""
    ApiCall.objects.update(unknown_since=NOON.replace(year=2025))
    page = confirm(staff(*ALL), lost, "retry")
    assert "too old to be safe" in message_text(page)
    assert ApiCall.objects.get().state == "stuck"


def test_link_asks_kaspi_and_links(staff, lost, kaspi, settings):
    """With the inline runner the answer is there at once."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    [remote] = kaspi.deliveries.values()
    page = confirm(staff(*ALL), lost, "link", delivery_id=remote.delivery_id)
    assert f"linked to {remote.delivery_id}" in message_text(page)
    linked = Delivery.objects.get()
    assert (linked.delivery_id, linked.status, linked.attention) == (remote.delivery_id, "created", "")


def test_link_of_an_unknown_id_is_refused(staff, lost, settings):
    """Kaspi says no; nothing changes."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    page = confirm(staff(*ALL), lost, "link", delivery_id="dlv_nowhere")
    assert "Kaspi has no delivery" in message_text(page)
    assert Delivery.objects.get().attention == "outcome_unknown"


def test_link_with_a_worker_says_that_kaspi_is_asked(staff, lost):
    """The answer comes later."""
    assert "Kaspi is asked whether" in message_text(confirm(staff(*ALL), lost, "link", delivery_id="dlv_1"))


def test_reissue_wants_the_name_typed(staff, lost):
    """Where Kaspi may have booked it a double click books nothing."""
    page = confirm(staff(*ALL), lost, "reissue", name="order-0", confirmed_absent="on")
    assert "That is not its number" in page.content.decode()
    assert Delivery.objects.count() == 1


def test_reissue_books_the_next_delivery(staff, refused, drain):
    """With a name and a key of its own; the refused one leaves the list. Nothing was booked: one yes is enough."""
    page = confirm(staff(*ALL), refused, "reissue")
    drain()
    first, second = Delivery.objects.order_by("generation")
    assert f"rebooked as {refused}-2" in message_text(page)
    assert (first.attention, second.status) == ("", "created")
    assert "Rebook" in LogEntry.objects.get().change_message


def test_reissue_of_what_may_be_booked_asks_whether_somebody_has_looked(staff, lost):
    """Without the tick nothing happens."""
    user = staff(*ALL)
    page = confirm(user, lost, "reissue", name=str(lost))
    assert page.context["form"].errors.keys() == {"confirmed_absent"}
    assert Delivery.objects.count() == 1
    confirm(user, lost, "reissue", name=str(lost), confirmed_absent="on")
    assert Delivery.objects.count() == 2


def test_a_second_reissue_books_nothing_more(staff, refused):
    """The order has its next delivery already."""
    user = staff(*ALL)
    confirm(user, refused, "reissue", name=str(refused))
    page = confirm(user, refused, "reissue", name=str(refused))
    assert "later delivery already" in message_text(page)
    assert Delivery.objects.count() == 2


def test_acknowledge_takes_it_off_the_list(staff, refused):
    """It was shipped otherwise; it will not be booked."""
    page = confirm(staff(*ALL), refused, "acknowledge")
    assert "taken off the list" in message_text(page)
    assert Delivery.objects.get().attention == ""
    assert ApiCall.objects.get().state == "abandoned"


def test_giving_up_what_may_be_booked_needs_more(staff, lost):
    """The name, the tick, and the permission to book anew."""
    user = staff("reissue_delivery")
    assert confirm(user, lost, "acknowledge").context["form"].errors
    confirm(user, lost, "acknowledge", name=str(lost), confirmed_absent="on")
    assert Delivery.objects.get().attention == ""


def test_refresh_asks_kaspi(staff, booked, kaspi, drain):
    """And takes its word."""
    kaspi.move(booked.delivery_id, "in_transit")
    page = confirm(staff(*ALL), booked, "refresh")
    drain()
    assert "Kaspi is asked" in message_text(page)
    assert Delivery.objects.get().status == "in_transit"


@pytest.mark.parametrize("action", ["retry_deliveries", "refresh_deliveries"])
def test_the_list_can_do_it_for_several(staff, booked, action):
    """It asks first, and reports."""
    user = staff(*ALL)
    chosen = {"action": action, "_selected_action": [booked.pk]}
    assert "form" in user.post(LIST, chosen).context
    page = user.post(LIST, {**chosen, "apply": "1"}, follow=True)
    assert str(booked) in message_text(page)


def test_every_action_is_recorded(staff, booked):
    """Who and what, in the admin's own log; why is on the delivery, where it can be hidden and forgotten."""
    confirm(staff(*ALL), booked, "cancel", reason="Aigerim called")
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id) == ("operator", str(booked.pk))
    assert entry.change_message == "Cancel delivery"


def test_who_acknowledges_reads_what_else_waits(staff, booked):
    """It stays on the list for that."""
    refresh_delivery(booked)
    ApiCall.objects.filter(kind="refresh").update(state="stuck", reason="not_found", next_attempt_at=None)
    Delivery.objects.update(attention="cancel_refused")
    assert "Kaspi does not know the delivery" in message_text(confirm(staff(*ALL), booked, "acknowledge"))


def test_what_was_answered_is_recorded(staff, lost):
    """Which id somebody named."""
    confirm(staff(*ALL), lost, "link", delivery_id="dlv_named")
    assert LogEntry.objects.get().change_message == "Link Kaspi's delivery: delivery_id=dlv_named"


def test_the_asking_page_says_where_it_is(staff, booked):
    """And leads back to the delivery."""
    page = staff(*ALL).get(address(booked, "cancel")).content.decode()
    assert page.count(f"{LIST}{booked.pk}/change/") == 3  # in the path, in the list, and to go back


def test_who_may_see_nothing_learns_nothing(staff, booked):
    """Not even which deliveries there are."""
    client = staff()
    User.objects.get().user_permissions.clear()
    assert [client.get(f"{LIST}{pk}/do/cancel/").status_code for pk in (booked.pk, 999)] == [403, 403]


@pytest.mark.parametrize(
    "name", ["dropoff_phone__startswith", "raw__contains", "cancel_reason__regex", "status__regex"]
)
def test_a_list_answers_no_question_about_hidden_columns(staff, booked, name):
    """Letter by letter it would tell a phone to who must not see it; and a pattern of anybody's could run for hours."""
    answer = staff().get(LIST, {name: "+7"})
    assert answer.status_code == 400


def test_a_list_can_still_be_filtered(staff, booked):
    """By what it offers."""
    client = staff()
    for query in (
        {"status": "created"},
        {"attention": "any"},
        {"promise": "overdue"},
        {"since": "24"},
        {"id": "1"},
    ):
        assert client.get(LIST, query).status_code == 200


def test_more_rows_than_one_page_can_ask_about_are_refused(staff, booked, monkeypatch):
    """Nothing is done, and the message says how many may be chosen."""
    monkeypatch.setattr(confirmation, "MAX_ROWS", 0)
    chosen = {"action": "cancel_deliveries", "_selected_action": [booked.pk], "apply": "1", "reason": "no"}
    page = staff(*ALL).post(LIST, chosen, follow=True)
    assert "more than 0 rows are selected" in message_text(page)
    assert Delivery.objects.get().cancel_requested_at is None


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (OperationalError("database is locked"), "the database was busy"),
        (Delivery.DoesNotExist("it is gone"), "it is gone"),
    ],
    ids=["busy", "gone"],
)
def test_one_row_that_cannot_be_done_stops_no_other(staff, booked, monkeypatch, trouble, words):
    """It is reported, row by row."""

    def fail(*_args, **_options):
        raise trouble

    monkeypatch.setattr(services, "cancel_delivery", fail)
    assert words in message_text(confirm(staff(*ALL), booked, "cancel", reason="no"))


def test_a_database_that_is_away_is_no_answer(staff, booked, monkeypatch):
    """That is for the site's own error page."""

    def fail(*_args, **_options):
        raise OperationalError("gone")

    monkeypatch.setattr(services, "cancel_delivery", fail)
    with pytest.raises(OperationalError):
        confirm(staff(*ALL), booked, "cancel", reason="no")


def test_an_id_of_another_delivery_is_not_linked(staff, lost, kaspi, drain):
    """The message says so."""
    other = Delivery.objects.exclude(pk=lost.pk).first() or Delivery.objects.create(
        account="default",
        environment="sandbox",
        content_type=lost.content_type,
        object_id="other",
        external_order_id="other",
        delivery_id=next(iter(kaspi.deliveries)),
    )
    lost.attention = "second_parcel"
    lost.save()
    page = confirm(staff(*ALL), lost, "link", delivery_id=other.delivery_id)
    assert "belongs to another delivery" in message_text(page)


def test_a_booking_whose_order_has_another_key_now_is_not_booked_anew(staff, refused):
    """The shop's model was rebuilt: the order is gone, which is no crash."""
    Delivery.objects.update(object_id="not-a-number")
    page = confirm(staff(*ALL), refused, "reissue", name=str(refused))
    assert "The order is gone" in message_text(page)


def test_an_asking_page_must_say_what_can_be_done():
    """A page that forgets to is found at once."""
    page = ConfirmedActionsAdmin(Delivery, admin.site)
    for question in (lambda: page.row_actions(None), lambda: page.row_action(None, "cancel")):
        with pytest.raises(NotImplementedError):
            question()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cancel", "nothing will be booked"),
        ("retry", "sent for the first time"),
        ("reissue", "Nothing is booked so far"),
    ],
)
def test_the_question_says_what_happens_to_what_was_never_sent(staff, due, name, words):
    """No courier was ordered, so none is cancelled."""
    ApiCall.objects.update(state="stuck", reason="adapter_failed", next_attempt_at=None)
    Delivery.objects.update(attention="adapter_failed")
    page = staff(*ALL).get(f"{LIST}{due.delivery_id}/do/{name}/").content.decode()
    assert words in page


@pytest.mark.parametrize(("name", "words"), [("cancel", "Kaspi will be asked"), ("reissue", "another courier comes")])
def test_the_question_says_what_happens_to_what_is_booked(staff, booked, name, words):
    """Kaspi is asked, and another one costs."""
    assert words in staff(*ALL).get(f"{LIST}{booked.pk}/do/{name}/").content.decode()


@pytest.fixture
def returned(booked):
    """Return a delivery whose status is new to us and has not changed for long."""
    Delivery.objects.update(status="returned", attention="unknown_status")
    return Delivery.objects.get()


def test_an_unknown_status_is_marked_as_final(staff, returned):
    """Offered, asked about, done, recorded; then it is not offered again."""
    client = staff("retry_delivery")
    assert "do/mark_final/" in client.get(f"{LIST}{returned.pk}/change/").content.decode()
    assert Delivery.objects.get().final_at is None
    assert "marked as final" in message_text(confirm(client, returned, "mark_final"))
    returned.refresh_from_db()
    assert (returned.final_at is not None, returned.attention) == (True, "")
    assert LogEntry.objects.get().change_message == "Mark as final"
    assert "do/mark_final/" not in client.get(f"{LIST}{returned.pk}/change/").content.decode()


def test_who_may_not_retry_may_not_mark_as_final(staff, returned):
    """Neither by the button nor by the address."""
    client = staff("cancel_delivery")
    assert "do/mark_final/" not in client.get(f"{LIST}{returned.pk}/change/").content.decode()
    assert client.post(address(returned, "mark_final")).status_code == 403


def test_a_known_status_is_not_marked_as_final(staff, booked):
    """The address does not help."""
    client = staff("retry_delivery")
    assert "do/mark_final/" not in client.get(f"{LIST}{booked.pk}/change/").content.decode()
    assert "Only a status that is new" in message_text(confirm(client, booked, "mark_final"))


def test_an_unknown_status_can_be_cancelled(staff, returned):
    """Kaspi decides."""
    client = staff("cancel_delivery")
    assert "do/cancel/" in client.get(f"{LIST}{returned.pk}/change/").content.decode()
    assert "Kaspi is asked to cancel" in message_text(confirm(client, returned, "cancel", reason="closed"))


@pytest.fixture
def held(kaspi, drain, turnable):
    """Return a delivery that its adapter does not want sent, and that staff are asked about."""
    Order.objects.create()
    Order.objects.update(paid=False)
    drain()
    turnable.turn(minutes=15)
    drain()
    return Delivery.objects.get()


def test_staff_can_send_what_the_adapter_does_not_want(staff, held, drain):
    """It asks first, says what it means, and is recorded."""
    user = staff("retry_delivery")
    assert "all the same" in user.get(address(held, "send")).content.decode()
    assert "sent now" in message_text(confirm(user, held, "send"))
    drain()
    assert Delivery.objects.get().status == "created"
    assert LogEntry.objects.get().change_message == "Send it"


def test_a_plain_retry_of_it_says_why_not(staff, held, drain, kaspi):
    """One by one and in bulk: only "Send it" overrules the adapter."""
    user = staff("retry_delivery")
    chosen = {"action": "retry_deliveries", "_selected_action": [held.pk], "apply": "1"}
    for page in (confirm(user, held, "retry"), user.post(LIST, chosen, follow=True)):
        assert "does not want it sent" in message_text(page)
    drain()
    assert kaspi.requests == []


def test_a_retry_of_what_was_never_wanted_says_that_it_left_the_list(staff, kaspi, settings):
    """Its row is gone."""
    shop, broken = settings.KASPI_DELIVERY["ORDER_ADAPTERS"], ["tests.shop.adapters.BrokenAdapter"]
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": broken}
    Order.objects.create(paid=False)
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": shop}
    page = confirm(staff("retry_delivery"), Delivery.objects.get(), "retry")
    assert "saving the order asks again" in message_text(page)


@pytest.mark.parametrize(("permission", "left"), [("retry_delivery", "cancel_unknown"), ("cancel_delivery", "")])
def test_a_pending_cancel_is_given_up_only_by_who_may_cancel(staff, booked, permission, left):
    """A colleague asked for it, and it may still go."""
    services.cancel_delivery(booked)
    ApiCall.objects.filter(kind="cancel").update(state="stuck", reason="cancel_unknown", next_attempt_at=None)
    Delivery.objects.update(attention="cancel_unknown")
    confirm(staff(permission), booked, "acknowledge")
    assert Delivery.objects.get().attention == left


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 401}, "not cancelled yet: Kaspi answered 401"),
        ({"status": 429, "retry_after": 600}, "not cancelled yet: Kaspi answered 429"),
        ({"drop": "before"}, "not cancelled yet: Kaspi did not answer"),
        ({"status": 404}, "Kaspi does not know the delivery"),
        ({"status": 409}, "already in transit, or has ended"),
        ({"status": 400}, "not cancelled: Kaspi answered 400"),
        ({"status": 500, "times": 3}, "not cancelled yet: Kaspi answered 500"),
        ({}, "cancelled."),
    ],
)
def test_who_cancels_reads_what_became_of_it(staff, booked, kaspi, settings, fault, words):
    """And what happens next; never that it is cancelled when it is not."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    if fault:
        kaspi.faults.add(Fault(operation="cancel", **fault))
    assert words in message_text(confirm(staff(*ALL), booked, "cancel", reason="out of stock"))


def test_who_cancels_behind_a_closed_gate_reads_until_when(staff, booked):
    """Nothing was sent."""
    AccountState.objects.update_or_create(
        account="default", environment=booked.environment, defaults={"closed_until": NOON + timedelta(days=1)}
    )
    page = confirm(staff(*ALL), booked, "cancel", reason="out of stock")
    assert "not cancelled yet: the request is sent automatically" in message_text(page)


def test_who_cancels_again_what_is_stuck_reads_so(staff, booked, settings, kaspi):
    """As a cancel whose answer was another order's delivery."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    kaspi.faults.add(Fault(operation="cancel", body=b'{"deliveryId": "dlv_other", "status": "created"}'))
    assert "not known whether" in message_text(confirm(staff(*ALL), booked, "cancel", reason="out of stock"))
