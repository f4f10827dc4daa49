"""Bulk actions: a preview, one report, and the rest queued for the worker."""

import re
from html import unescape

import pytest
from django.contrib import messages
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.html import strip_tags

from kaspi_delivery_django.admin import confirmation, outcomes
from kaspi_delivery_django.models import ApiCall, Delivery, PendingAction, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import bulk_actions, cancel_delivery
from tests.admin.conftest import message_text
from tests.conftest import event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/kaspi_delivery/delivery/"


@pytest.fixture
def several(drain):
    """Return four booked deliveries."""
    for _ in range(4):
        Order.objects.create()
    drain()
    return list(Delivery.objects.order_by("pk"))


def choose(client, rows, action="cancel_deliveries", **more):
    """Choose an action for these rows."""
    data = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    return client.post(LIST, data, follow=True)


def text_of(page):
    """Return the words of the page's content."""
    content = page.content.decode().partition('id="content"')[2]
    return " ".join(unescape(strip_tags(re.sub(r"</(?:li|p|h2)>", " ", content))).split())


def stop(delivery, **columns):
    """Let the delivery's booking be one that was never sent, with these columns."""
    ApiCall.objects.filter(delivery=delivery).update(state="due", unknown_since=None, **columns)
    Delivery.objects.filter(pk=delivery.pk).update(delivery_id=None, status="")


def confirm(client, page, **answers):
    """Send the form that a page asks with."""
    return client.post(LIST, {**page.context["hidden"], **answers}, follow=True)


def test_the_confirmation_names_the_first_rows_and_counts_the_others(staff, several, monkeypatch):
    """It shows the first ones only."""
    monkeypatch.setattr(confirmation, "ROWS_NAMED", 3)
    page = choose(staff("cancel_delivery"), several)
    assert [str(row) in page.content.decode() for row in several] == [True, True, True, False]
    assert "Selected: 4" in text_of(page)
    assert "and 1 more row" in text_of(page)


def test_the_confirmation_helps_to_recognise_a_parcel(staff, several):
    """The order and the status; the customer only for users who may see personal data."""
    several[0].dropoff_name, several[0].dropoff_address = "Aigerim <b>", "Almaty, Abai 1"
    several[0].save()
    seen = choose(staff("cancel_delivery", "view_personal_data"), several[:1]).content.decode()
    assert f"/admin/shop/order/{several[0].object_id}/change/" in seen
    assert "Created" in seen
    assert "Aigerim &lt;b&gt;, Almaty, Abai 1" in seen
    masked = choose(staff("cancel_delivery"), several[:1]).content.decode()
    assert "Aigerim" not in masked
    assert "Almaty, Abai" not in masked


def test_the_confirmation_of_a_cancel_counts_the_requests(staff, several, turnable):
    """One is sent, one is never sent, one waits for its booking, and one is left alone."""
    sent, unsent, unknown, moving = several
    stop(unsent)
    stop(unknown)
    ApiCall.objects.filter(delivery=unknown).update(state="unknown", unknown_since=turnable.now)
    Delivery.objects.filter(pk=moving.pk).update(status="in_transit")
    page = choose(staff("cancel_delivery"), several)
    text = text_of(page)
    assert "1 request to cancel is sent to Kaspi." in text
    assert "1 delivery is not booked at Kaspi: no request, and it will not be booked." in text
    assert "Kaspi may have booked 1 delivery" in text
    assert f"1 is left alone. It can no longer be cancelled: its status is In transit. {moving}" in text
    assert page.context["hidden"]["asked_about"] == ",".join(str(row.pk) for row in (sent, unsent, unknown))


def test_a_row_that_is_left_alone_is_neither_tried_nor_recorded(staff, several, drain, kaspi):
    """Kaspi gets the requests that were counted."""
    Delivery.objects.filter(pk=several[0].pk).update(status="in_transit")
    client, before = staff("cancel_delivery"), len(kaspi.requests)
    page = confirm(client, choose(client, several), reason="out of stock")
    assert message_text(page) == "Kaspi is asked to cancel 3; their statuses follow.\n"
    assert LogEntry.objects.count() == 3
    drain()
    assert len([request for request in kaspi.requests[before:] if request.path.endswith("/cancel")]) == 3


def test_a_cancel_that_is_repeated_sends_nothing(staff, several, drain):
    """One is pending, one is cancelled."""
    cancel_delivery(several[1])
    drain()
    cancel_delivery(several[0])
    text = text_of(choose(staff("cancel_delivery"), several[:2]))
    assert "A cancel of 1 delivery is under way already: no second request." in text
    assert f"1 is left alone. It can no longer be cancelled: its status is Cancelled. {several[1]}" in text


def test_the_confirmation_of_a_refresh_counts_the_requests(staff, several):
    """What Kaspi does not know cannot be asked about."""
    stop(several[0])
    text = text_of(choose(staff("retry_delivery"), several, "refresh_deliveries"))
    assert "Kaspi is asked about 3 deliveries: one request for each." in text
    assert "1 is left alone. It cannot be refreshed: Kaspi has given it no id yet." in text


def test_the_confirmation_of_a_retry_tells_what_is_sent(staff, several, turnable):
    """Again, for the first time, if the adapter wants it, or nothing."""
    again, first, held, _nothing = several
    for row in (again, first, held):
        stop(row)
    ApiCall.objects.filter(delivery=first).update(payload="", payload_sha256="")
    Delivery.objects.filter(pk=held.pk).update(unwanted_since=turnable.now)
    text = text_of(choose(staff("retry_delivery"), several, "retry_deliveries"))
    assert "Pending requests of 1 delivery are sent to Kaspi again." in text
    assert "1 delivery was never sent: its order is read now, and a courier is booked." in text
    assert "1 delivery is sent only if the shop's adapter wants it now." in text
    assert "1 is left alone. There is nothing to retry." in text


@pytest.mark.parametrize(
    ("action", "effect", "left"),
    [
        ("replay_events", "1 event is applied again: no request to Kaspi.", "It came twice with different contents"),
        ("acknowledge_events", "2 events leave the dead letters: no request to Kaspi.", ""),
    ],
)
def test_the_confirmation_for_events_names_no_request(staff, several, post_webhook, action, effect, left):
    """And leaves alone what was applied."""
    for row, name in zip(several, ("applied", "failed", "twice"), strict=False):
        post_webhook(event(row, "accepted", event_id=f"wh_{name}"))
    WebhookEvent.objects.filter(event_id="wh_failed").update(state="failed")
    WebhookEvent.objects.filter(event_id="wh_twice").update(state="conflict", error=WebhookEvent.Reason.OTHER_DATA)
    chosen = {"action": action, "_selected_action": list(WebhookEvent.objects.values_list("pk", flat=True))}
    page = staff("view_webhookevent", "replay_event").post("/admin/kaspi_delivery/webhookevent/", chosen)
    assert effect in text_of(page)
    assert "1 is left alone. It needs no manual review. delivery.accepted wh_applied" in text_of(page)
    assert left in text_of(page)


def test_where_nothing_can_be_done_nothing_can_be_confirmed(staff, several):
    """Only the way back is left."""
    Delivery.objects.update(status="delivered")
    page = choose(staff("cancel_delivery"), several)
    assert "Nothing can be done about the selected rows." in text_of(page)
    assert 'type="submit" value="Cancel delivery"' not in page.content.decode()
    assert 'name="reason"' not in page.content.decode()


def test_a_dangerous_action_looks_like_a_deletion(staff, several):
    """A cancel does, a refresh does not."""
    client = staff("cancel_delivery", "retry_delivery")
    looks = {
        action: "delete-confirmation" in choose(client, several, action).content.decode()
        for action in ("cancel_deliveries", "refresh_deliveries", "retry_deliveries")
    }
    assert looks == {"cancel_deliveries": True, "refresh_deliveries": False, "retry_deliveries": False}


def test_the_report_counts_what_is_done_and_links_what_is_refused(staff, several, kaspi, settings):
    """Two are cancelled, two were picked up meanwhile."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    client = staff("cancel_delivery")
    asked = choose(client, several)
    for row in several[2:]:
        kaspi.move(row.delivery_id, "in_transit")
    page = confirm(client, asked, reason="out of stock")
    [message] = page.context["messages"]
    refused = f"2 refused by Kaspi: already in transit, or ended. {several[2]}, {several[3]}"
    assert message_text(page).splitlines() == ["2 cancelled.", refused]
    assert message.level_tag == "warning"
    links = [f"{LIST}{row.pk}/change/" in str(message) for row in several]
    assert links == [False, False, True, True]


def test_rows_of_different_times_share_a_line(staff, several, kaspi, settings, turnable):
    """Each has its own next attempt, which is on its page."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    kaspi.faults.add(Fault(operation="cancel", status=500, times=20))
    client = staff("cancel_delivery")
    page = confirm(client, choose(client, several[:2]), reason="out of stock")
    assert message_text(page).startswith("2 not cancelled yet: the next attempts are automatic.")


def test_many_refused_rows_are_folded(staff, several, monkeypatch):
    """The first one is seen, the others are one click away."""
    monkeypatch.setattr(outcomes, "ROWS_NAMED", 1)
    Delivery.objects.update(status="in_transit")
    page = choose(staff("cancel_delivery"), several).content.decode()
    shown, _, folded = page.partition("<details><summary>and 3 more rows</summary>")
    links = [f"{LIST}{row.pk}/change/" for row in several]
    assert [link in shown for link in links] == [True, False, False, False]
    assert [link in folded for link in links] == [False, True, True, True]


def test_a_confirmation_costs_the_same_for_many_rows_as_for_one(staff, several):
    """No query for each row, whether it can be acted on or not."""
    client = staff("cancel_delivery", "view_personal_data")
    choose(client, several)
    counts = []
    Delivery.objects.filter(pk=several[3].pk).update(status="in_transit")
    for rows in (several, several[:1]):
        with CaptureQueriesContext(connection) as queries:
            choose(client, rows)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 12


def test_a_forecast_reads_batches(several, django_assert_num_queries, monkeypatch):
    """Two queries for each: the rows, and their calls."""
    monkeypatch.setattr(bulk_actions, "BATCH_SIZE", 3)
    keys = [row.pk for row in several]
    with django_assert_num_queries(4):
        assert bulk_actions.forecast("cancel", keys).keys == keys


def test_rows_beyond_one_requests_number_are_queued(staff, several, monkeypatch, drain):
    """Two are done, two are done by the worker."""
    monkeypatch.setattr(confirmation, "ROWS_PER_REQUEST", 2)
    client = staff("cancel_delivery", "view_pendingaction")
    asked = choose(client, several)
    assert "2 of them are queued for the worker." in text_of(asked)
    page = confirm(client, asked, reason="out of stock")
    [message] = page.context["messages"]
    assert "Kaspi is asked to cancel 2;" in message_text(page)
    assert (
        '<a href="/admin/kaspi_delivery/pendingaction/?state=waiting">2 are queued for the worker.</a>'
        in message.message
    )
    waiting = PendingAction.objects.order_by("pk")
    assert [action.delivery_id for action in waiting] == [row.pk for row in several[2:]]
    assert {(action.reason, action.asked_by) for action in waiting} == {("out of stock", "operator")}
    assert LogEntry.objects.filter(change_message__contains="queued for the worker").count() == 2
    drain()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"cancelled"}


def test_rows_beyond_one_requests_time_are_queued(staff, several, monkeypatch):
    """The first row is late already."""
    monkeypatch.setattr(confirmation, "REQUEST_S", 0)
    client = staff("cancel_delivery")
    page = confirm(client, choose(client, several), reason="out of stock")
    assert "4 are queued for the worker." in message_text(page)
    assert PendingAction.objects.count() == 4


def test_the_whole_list_is_asked_about_without_naming_each_row(staff, several, kaspi, drain):
    """A form of ten thousand fields would be refused."""
    client = staff("cancel_delivery")
    page = choose(client, several[:1], select_across="1")
    assert len(page.context["rows"]) == 4
    assert len(page.context["hidden"]) == 5
    confirm(client, page, reason="out of stock")
    drain()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"cancelled"}


def test_a_row_that_came_meanwhile_was_not_asked_about(staff, several, drain):
    """The whole list is the list that was shown: neither a newer row nor one that fits the filter only now."""
    client, flagged = staff("cancel_delivery"), f"{LIST}?attention=any"
    Delivery.objects.filter(pk__in=[row.pk for row in several[1:]]).update(attention="too_old")
    data = {"action": "cancel_deliveries", "_selected_action": several[1].pk, "select_across": "1"}
    hidden = client.post(flagged, data).context["hidden"]
    Order.objects.create()
    drain()
    Delivery.objects.update(attention="too_old")
    client.post(flagged, {**hidden, "reason": "out of stock"})
    cancelled = Delivery.objects.exclude(cancel_requested_at=None)
    assert list(cancelled.order_by("pk")) == several[1:]


def test_a_row_that_fits_the_filter_no_more_is_left_alone(staff, several):
    """A colleague has dealt with it meanwhile."""
    client, flagged = staff("cancel_delivery"), f"{LIST}?attention=any"
    Delivery.objects.update(attention="too_old")
    data = {"action": "cancel_deliveries", "_selected_action": several[0].pk, "select_across": "1"}
    hidden = client.post(flagged, data).context["hidden"]
    Delivery.objects.filter(pk=several[0].pk).update(attention="")
    client.post(flagged, {**hidden, "reason": "out of stock"})
    assert list(Delivery.objects.filter(cancel_requested_at=None)) == several[:1]


def test_when_all_of_the_rows_are_gone_a_message_says_so(staff, several):
    """There is nothing to ask about."""
    Delivery.objects.filter(pk=several[0].pk).delete()
    assert "The row is gone." in message_text(choose(staff("cancel_delivery"), several[:1]))


FORGED = ["", "x", "-1", "9" * 30, "1;2", "1,,2", "\u0661"]


@pytest.mark.parametrize("keys", FORGED)
def test_forged_keys_do_nothing(staff, several, keys):
    """And break nothing."""
    page = choose(staff("cancel_delivery"), several, apply="1", reason="forged", asked_about=keys)
    assert page.status_code == 200
    assert not Delivery.objects.exclude(cancel_requested_at=None).exists()


def test_a_row_that_is_gone_meanwhile_is_left_out(staff, several, monkeypatch):
    """It is not attempted."""
    attempted = []

    def do(_self, _request, _way, row, _answers):
        attempted.append(row)
        Delivery.objects.filter(pk=several[1].pk).delete()
        return outcomes.Answer(messages.SUCCESS, "done")

    monkeypatch.setattr(confirmation.ConfirmedActionsAdmin, "_do", do)
    choose(staff("cancel_delivery"), several[:2], apply="1", reason="x")
    assert attempted == several[:1]


@pytest.mark.parametrize("key", [*FORGED[1:], "1,2"])
def test_rows_that_are_no_numbers_are_refused(staff, several, key):
    """With 400, not with a traceback."""
    data = {"action": "cancel_deliveries", "_selected_action": key, "apply": "1", "reason": "forged"}
    assert staff("cancel_delivery").post(LIST, data).status_code == 400


@pytest.mark.parametrize("more", [(), ("retry_delivery",)])
def test_a_forged_action_is_refused(staff, several, kaspi, more):
    """With 403, whatever else this person may do, and Kaspi hears nothing."""
    before = len(kaspi.requests)
    assert choose(staff(*more), several, apply="1", reason="forged").status_code == 403
    assert len(kaspi.requests) == before
    assert not Delivery.objects.exclude(cancel_requested_at=None).exists()


def test_a_message_warns_when_no_worker_runs(staff, several, monkeypatch, turnable):
    """Queued rows would wait."""
    monkeypatch.setattr(confirmation, "REQUEST_S", 0)
    client = staff("cancel_delivery")
    assert "No worker is seen" not in message_text(confirm(client, choose(client, several), reason="x"))
    turnable.turn(minutes=10)
    assert "No worker is seen" in message_text(confirm(client, choose(client, several), reason="x"))


def test_under_atomic_requests_nothing_is_sent_from_the_request(staff, several, kaspi, settings):
    """It would all be sent after the view, when no clock is looked at any more."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    client = staff("cancel_delivery")
    page = choose(client, several)
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    before = len(kaspi.requests)
    try:
        confirm(client, page, reason="x")
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert len(kaspi.requests) == before
    assert Delivery.objects.exclude(cancel_requested_at=None).count() == 4


def test_refused_actions_are_listed_and_dismissed(staff, several, turnable):
    """With the reason; one by one or several."""
    rows = [
        PendingAction.objects.create(
            name="cancel", delivery=row, created_at=turnable.now, failed_at=turnable.now, failure="It is delivered."
        )
        for row in several[:3]
    ]
    client, url = staff("view_pendingaction", "cancel_delivery"), "/admin/kaspi_delivery/pendingaction/"
    assert "It is delivered." in client.get(url).content.decode()
    page = client.post(f"{url}{rows[0].pk}/do/dismiss/", follow=True)
    assert "taken off the list" in message_text(page)
    chosen = {"action": "dismiss_actions", "_selected_action": [row.pk for row in rows[1:]]}
    assert "form" in client.post(url, chosen).context
    client.post(url, {**chosen, "apply": "1"})
    assert not PendingAction.objects.exists()


def test_dismissing_needs_its_permission(staff, several, turnable):
    """On the POST too."""
    row = PendingAction.objects.create(name="cancel", delivery=several[0], created_at=turnable.now)
    url = f"/admin/kaspi_delivery/pendingaction/{row.pk}/do/"
    assert staff("view_pendingaction").post(f"{url}dismiss/").status_code == 403
    assert staff("view_pendingaction", "retry_delivery").get(f"{url}other/").status_code == 404
    assert staff("view_pendingaction", "retry_delivery").post(f"{url}dismiss/").status_code == 403
    assert PendingAction.objects.exists()


def test_an_action_without_the_worker_says_that_some_are_left(staff, several, turnable, monkeypatch):
    """Dismissing is for here and now."""
    for row in several:
        PendingAction.objects.create(name="cancel", delivery=row, created_at=turnable.now)
    monkeypatch.setattr(confirmation, "ROWS_PER_REQUEST", 3)
    keys = list(PendingAction.objects.values_list("pk", flat=True))
    client = staff("view_pendingaction", "cancel_delivery")
    url = "/admin/kaspi_delivery/pendingaction/"
    page = client.post(url, {"action": "dismiss_actions", "_selected_action": keys, "apply": "1"}, follow=True)
    assert "do it again for the rest" in message_text(page)
    assert PendingAction.objects.count() == 1


def test_nothing_is_recorded_as_queued_that_was_not(staff, several, monkeypatch):
    """The admin's log is believed."""
    monkeypatch.setattr(confirmation, "ROWS_PER_REQUEST", 0)
    monkeypatch.setattr(confirmation.bulk_actions, "queue", lambda *_args, **_options: 1 / 0)
    client = staff("cancel_delivery")
    client.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr(confirmation, "ROWS_PER_REQUEST", 100)
        page = choose(client, several)
    assert client.post(LIST, {**page.context["hidden"], "reason": "closed"}).status_code == 500
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("permission", "left"),
    [
        ("retry_delivery", {"cancel", "return", "replay", "acknowledge"}),
        ("cancel_delivery", {"retry", "refresh", "return", "replay", "acknowledge"}),
        ("replay_event", {"cancel", "retry", "refresh", "return"}),
    ],
)
def test_several_are_dismissed_only_by_users_who_could_request_them(staff, several, turnable, permission, left):
    """A colleague's pending cancel is not for a user with the permission to retry."""
    for name in PendingAction.Name.values:
        PendingAction.objects.create(name=name, delivery=several[0], created_at=turnable.now)
    keys = list(PendingAction.objects.values_list("pk", flat=True))
    chosen = {"action": "dismiss_actions", "_selected_action": keys, "apply": "1"}
    page = staff("view_pendingaction", permission).post("/admin/kaspi_delivery/pendingaction/", chosen, follow=True)
    assert set(PendingAction.objects.values_list("name", flat=True)) == left
    assert "stay on the list" in message_text(page)


def test_a_user_who_may_dismiss_none_of_them_gets_no_confirmation(staff, several, turnable):
    """The page says why."""
    row = PendingAction.objects.create(name="cancel", delivery=several[0], created_at=turnable.now)
    chosen = {"action": "dismiss_actions", "_selected_action": [row.pk], "apply": "1"}
    client = staff("view_pendingaction", "retry_delivery")
    assert "stay on the list" in message_text(client.post("/admin/kaspi_delivery/pendingaction/", chosen, follow=True))
    assert PendingAction.objects.exists()
