"""Bulk actions: a confirmation with a forecast, one report, and the rest queued for the worker."""

from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection

from kaspi_delivery_django.admin import confirmation, outcomes
from kaspi_delivery_django.models import ApiCall, Delivery, PendingAction, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import bulk_actions, cancel_delivery
from kaspi_delivery_django.services.deliveries.rules import Effect
from tests.admin.conftest import FOLDER, LIST, choose, message_text, plain, statements_of
from tests.conftest import event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

PENDING = f"{FOLDER}/pendingaction/"


def text_of(page):
    """Return the words of the page's content."""
    return unescape(plain(page.content.decode().partition('id="content"')[2]))


def confirm(client, page, *, url=LIST, **answers):
    """Send the form of a confirmation page."""
    return client.post(url, {**page.context["hidden"], **answers}, follow=True)


def stop(delivery, **columns):
    """Make the delivery's booking one that was never sent, with these columns."""
    ApiCall.objects.filter(delivery=delivery).update(**{"state": "due", "unknown_since": None, **columns})
    Delivery.objects.filter(pk=delivery.pk).update(delivery_id=None, status="")


def cancelled():
    """Return the deliveries that a cancel was requested for."""
    return list(Delivery.objects.exclude(cancel_requested_at=None).order_by("pk"))


def queued(fake_clock, rows, name="cancel", **columns):
    """Queue an action for each of these rows."""
    return [PendingAction.objects.create(name=name, delivery=row, created_at=fake_clock.now, **columns) for row in rows]


def test_the_confirmation_names_the_first_rows_and_counts_the_others(staff, several, monkeypatch):
    """A dangerous action looks like a deletion; a refresh does not."""
    monkeypatch.setattr(confirmation, "ROWS_NAMED", 3)
    client = staff("cancel_delivery", "retry_delivery")
    page = choose(client, several)
    assert [str(row) in page.content.decode() for row in several] == [True, True, True, False, False]
    assert "Selected: 5" in text_of(page)
    assert "and 2 more rows" in text_of(page)
    assert "delete-confirmation" in page.content.decode()
    assert "delete-confirmation" not in choose(client, several, "refresh_deliveries").content.decode()
    assert cancelled() == []


def test_the_confirmation_helps_to_recognise_a_parcel(staff, several):
    """The order and the status; the customer only for users who can see personal data."""
    several[0].dropoff_name, several[0].dropoff_address = "Aigerim <b>", "Almaty, Abai 1"
    several[0].save()
    seen = choose(staff("cancel_delivery", "view_personal_data"), several[:1]).content.decode()
    assert f"/admin/shop/order/{several[0].object_id}/change/" in seen
    assert "Created" in seen
    assert "Aigerim &lt;b&gt;, Almaty, Abai 1" in seen
    masked = choose(staff("cancel_delivery"), several[:1]).content.decode()
    assert "Aigerim" not in masked
    assert "Almaty, Abai" not in masked


def test_the_forecast_of_a_cancel(staff, several, fake_clock):
    """Sent, never sent, after its booking, under way already, and left alone."""
    sent, unsent, unknown, pending, moving = several
    stop(unsent)
    stop(unknown, state="unknown", unknown_since=fake_clock.now)
    cancel_delivery(pending)
    Delivery.objects.filter(pk=moving.pk).update(status="in_transit")
    page = choose(staff("cancel_delivery"), several)
    text = text_of(page)
    assert "1 request to cancel is sent to Kaspi." in text
    assert "1 delivery is not booked at Kaspi: no request, and it will not be booked." in text
    assert "Kaspi may have booked 1 delivery" in text
    assert "A cancel of 1 delivery is under way already: no second request." in text
    assert f"1 is left alone. It can no longer be cancelled: its status is In transit. {moving}" in text
    keys = ",".join(str(row.pk) for row in (sent, unsent, unknown, pending))
    assert page.context["hidden"]["asked_about"] == keys


def test_the_forecasts_of_a_refresh_and_a_retry(staff, several, fake_clock):
    """A retry sends again, or for the first time, or if the adapter wants it, or has nothing to do."""
    again, first, held, *_nothing = several
    for row in (again, first, held):
        stop(row)
    ApiCall.objects.filter(delivery=first).update(payload="", payload_sha256="")
    Delivery.objects.filter(pk=held.pk).update(unwanted_since=fake_clock.now)
    client = staff("retry_delivery")
    text = text_of(choose(client, several, "refresh_deliveries"))
    assert "Kaspi is asked about 2 deliveries: one request for each." in text
    assert "3 are left alone. It cannot be refreshed: Kaspi has given it no id yet." in text
    text = text_of(choose(client, several, "retry_deliveries"))
    assert "Pending requests of 1 delivery are sent to Kaspi again." in text
    assert "1 delivery was never sent: its order is read now, and a courier is booked." in text
    assert "1 delivery is sent only if the shop's adapter wants it now." in text
    assert "2 are left alone. There is nothing to retry." in text


@pytest.mark.parametrize(
    ("action", "effect", "left"),
    [
        ("replay_events", "1 event is applied again: no request to Kaspi.", "It came twice with different contents"),
        ("acknowledge_events", "2 events leave the dead letters: no request to Kaspi.", ""),
    ],
)
def test_the_forecast_for_events(staff, several, post_webhook, action, effect, left):
    """Applied ones are left alone."""
    for row, name in zip(several, ("applied", "failed", "twice"), strict=False):
        post_webhook(event(row, "accepted", event_id=f"wh_{name}"))
    WebhookEvent.objects.filter(event_id="wh_failed").update(state="failed")
    WebhookEvent.objects.filter(event_id="wh_twice").update(state="conflict", error=WebhookEvent.Reason.OTHER_DATA)
    client = staff("view_webhookevent", "replay_event")
    text = text_of(choose(client, WebhookEvent.objects.all(), action, url=f"{FOLDER}/webhookevent/"))
    assert effect in text
    assert "1 is left alone. It needs no manual review. delivery.accepted wh_applied" in text
    assert left in text


def test_many_refused_rows_are_folded_and_nothing_is_left_to_confirm(staff, several, monkeypatch):
    """The first one is seen, the others are one click away; only the way back is left."""
    monkeypatch.setattr(outcomes, "ROWS_NAMED", 1)
    Delivery.objects.update(status="in_transit")
    page = choose(staff("cancel_delivery"), several)
    shown, _, folded = page.content.decode().partition("<details><summary>and 4 more rows</summary>")
    assert [f"{row.pk}/change/" in shown for row in several] == [True, False, False, False, False]
    assert [f"{row.pk}/change/" in folded for row in several] == [False, True, True, True, True]
    assert "Nothing can be done about the selected rows." in text_of(page)
    assert 'type="submit" value="Cancel delivery"' not in folded
    assert 'name="reason"' not in folded


def test_a_reason_is_asked_for(staff, booked):
    """Without one the confirmation page comes again."""
    page = choose(staff("cancel_delivery"), [booked], apply="1", reason=" ")
    assert page.context["form"].errors
    assert cancelled() == []


def test_rows_that_are_left_alone_are_neither_tried_nor_recorded(staff, several, drain, kaspi):
    """Kaspi gets the requests that were counted, once, also after a double click."""
    Delivery.objects.filter(pk=several[0].pk).update(status="in_transit")
    client = staff("cancel_delivery")
    asked = choose(client, several)
    page = confirm(client, asked, reason="out of stock")
    assert message_text(page) == "Kaspi is asked to cancel 4; their statuses follow.\n"
    assert LogEntry.objects.count() == 4
    confirm(client, asked, reason="out of stock")
    drain()
    assert len([request for request in kaspi.requests if request.path.endswith("/cancel")]) == 4


def test_the_report_counts_what_is_done_and_links_what_is_refused(staff, several, kaspi, inline, fake_clock):
    """One cancelled, one never sent, one after its booking, two that were picked up meanwhile."""
    done, unsent, unknown, *moving = several
    stop(unsent)
    stop(unknown, state="unknown", unknown_since=fake_clock.now)
    client = staff("cancel_delivery")
    asked = choose(client, several)
    for row in moving:
        kaspi.move(row.delivery_id, "in_transit")
    page = confirm(client, asked, reason="out of stock")
    [message] = page.context["messages"]
    assert message_text(page).splitlines() == [
        "1 cancelled.",
        "1 cancelled without a request: not booked at Kaspi.",
        f"1 will be cancelled as soon as its booking is resolved. {unknown}",
        f"2 refused by Kaspi: already in transit, or ended. {moving[0]}, {moving[1]}",
    ]
    assert message.level_tag == "warning"
    linked = [f"{LIST}{row.pk}/change/" in str(message) for row in several]
    assert linked == [False, False, True, True, True]
    assert LogEntry.objects.filter(change_message="Cancel delivery").count() == 5
    assert Delivery.objects.get(pk=done.pk).status == "cancelled"


def test_rows_of_different_times_share_a_line(staff, several, kaspi, inline):
    """Each has its own next attempt, which is on its page."""
    kaspi.faults.add(Fault(operation="cancel", status=500, times=20))
    page = choose(staff("cancel_delivery"), several[:2], apply="1", reason="out of stock")
    assert message_text(page).startswith("2 not cancelled yet: the next attempts are automatic.")


def test_a_confirmation_costs_the_same_for_many_rows_as_for_one(staff, several, django_assert_num_queries, monkeypatch):
    """No query for each row, whether it can be acted on or not; a forecast costs two for each batch."""
    client = staff("cancel_delivery", "view_personal_data")
    choose(client, several)
    Delivery.objects.filter(pk=several[3].pk).update(status="in_transit")
    many = statements_of(lambda: choose(client, several))
    one = statements_of(lambda: choose(client, several[:1]))
    assert len(many) == len(one) <= 12
    monkeypatch.setattr(bulk_actions, "BATCH_SIZE", 3)
    keys = [row.pk for row in several[:3]] + [several[4].pk]
    with django_assert_num_queries(4):
        assert bulk_actions.forecast("cancel", keys).keys == keys


def test_rows_beyond_one_requests_number_are_queued(staff, several, monkeypatch, drain):
    """The first are done, the others are done by the worker."""
    monkeypatch.setattr(bulk_actions, "ROWS_PER_REQUEST", 2)
    client = staff("cancel_delivery", "view_pendingaction")
    asked = choose(client, several)
    assert "3 of them are queued for the worker." in text_of(asked)
    page = confirm(client, asked, reason="out of stock")
    [message] = page.context["messages"]
    assert "Kaspi is asked to cancel 2;" in message_text(page)
    assert f'<a href="{PENDING}?state=waiting">3 are queued for the worker.</a>' in message.message
    waiting = PendingAction.objects.order_by("pk")
    assert [action.delivery_id for action in waiting] == [row.pk for row in several[2:]]
    assert {(action.reason, action.asked_by) for action in waiting} == {("out of stock", "operator")}
    assert LogEntry.objects.filter(change_message__contains="queued for the worker").count() == 3
    drain()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"cancelled"}


def test_rows_beyond_one_requests_time_are_queued(staff, several, monkeypatch, fake_clock):
    """A message warns if no worker is seen: they would wait."""
    monkeypatch.setattr(bulk_actions, "REQUEST_S", 0)
    client = staff("cancel_delivery")
    asked = choose(client, several)
    first = message_text(confirm(client, asked, reason="out of stock"))
    assert "5 are queued for the worker." in first
    assert "No worker is seen" not in first
    assert PendingAction.objects.count() == 5
    fake_clock.advance(minutes=10)
    assert "No worker is seen" in message_text(confirm(client, asked, reason="out of stock"))


def test_nothing_is_recorded_as_queued_that_was_not(staff, several, monkeypatch):
    """The admin's log is believed."""
    client = staff("cancel_delivery")
    page = choose(client, several)
    monkeypatch.setattr(bulk_actions, "ROWS_PER_REQUEST", 0)
    monkeypatch.setattr(confirmation.bulk_actions, "queue", lambda *_args, **_options: 1 / 0)
    client.raise_request_exception = False
    assert client.post(LIST, {**page.context["hidden"], "reason": "closed"}).status_code == 500
    assert not LogEntry.objects.exists()


def test_more_rows_than_one_action_can_have_are_refused(staff, booked, monkeypatch):
    """Nothing is done, and the message says how many can be selected."""
    monkeypatch.setattr(confirmation, "MAX_ROWS", 0)
    page = choose(staff("cancel_delivery"), [booked], apply="1", reason="no")
    assert "more than 0 rows are selected" in message_text(page)
    assert cancelled() == []


def test_the_whole_list_is_the_list_that_was_shown(staff, several, drain):
    """No form of ten thousand fields; neither a newer row nor one that fits the filter only now, or no more."""
    client, flagged = staff("cancel_delivery"), f"{LIST}?attention=any"
    Delivery.objects.filter(pk__in=[row.pk for row in several[1:]]).update(attention="too_old")
    page = choose(client, several[1:2], url=flagged, select_across="1")
    assert (len(page.context["rows"]), len(page.context["hidden"])) == (4, 5)
    Order.objects.create()
    drain()
    Delivery.objects.update(attention="too_old")
    Delivery.objects.filter(pk=several[4].pk).update(attention="")  # a colleague has dealt with it
    confirm(client, page, url=flagged, reason="out of stock")
    assert cancelled() == several[1:4]


def test_rows_that_are_gone_are_left_out(staff, several, monkeypatch):
    """Before the confirmation, and while the others are done."""
    client = staff("cancel_delivery")
    asked = choose(client, several[:2])
    monkeypatch.setattr(
        "kaspi_delivery_django.services.deliveries.actions.cancel_delivery",
        lambda *_args, **_options: Delivery.objects.filter(pk=several[1].pk).delete(),
    )
    confirm(client, asked, reason="x")
    assert set(LogEntry.objects.values_list("object_id", flat=True)) == {str(several[0].pk)}
    assert "The row is gone." in message_text(choose(client, several[1:2]))


FORGED = ["x", "-1", "9" * 30, "1;2", "1,,2", "\u0661"]


def test_forged_keys_do_nothing(staff, several):
    """Those of the confirmation name no row; chosen ones are answered with 400, not with a traceback."""
    client = staff("cancel_delivery")
    for keys in ("", *FORGED):
        page = choose(client, several, apply="1", reason="forged", asked_about=keys)
        assert page.status_code == 200
    for key in (*FORGED, "1,2"):
        data = {"action": "cancel_deliveries", "_selected_action": key, "apply": "1", "reason": "forged"}
        assert client.post(LIST, data).status_code == 400
    assert cancelled() == []


def test_a_forged_action_is_refused(staff, several, kaspi):
    """With 403, whatever else this user may do, and Kaspi hears nothing."""
    before = len(kaspi.requests)
    for permissions in ((), ("retry_delivery",)):
        assert choose(staff(*permissions), several, apply="1", reason="forged").status_code == 403
    assert (len(kaspi.requests), cancelled()) == (before, [])


def test_under_atomic_requests_nothing_is_sent_from_the_request(staff, several, kaspi, inline, monkeypatch):
    """It would all be sent after the view, with no limit of time."""
    client, before = staff("cancel_delivery"), len(kaspi.requests)
    page = choose(client, several)
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    confirm(client, page, reason="x")
    assert (len(kaspi.requests), cancelled()) == (before, several)


# Pending actions


def test_refused_actions_are_listed_and_dismissed(staff, several, fake_clock):
    """With the reason; one by one or several."""
    rows = queued(fake_clock, several[:3], failed_at=fake_clock.now, failure="It is delivered.")
    client = staff("view_pendingaction", "cancel_delivery")
    assert "It is delivered." in client.get(PENDING).content.decode()
    assert "taken off the list" in message_text(client.post(f"{PENDING}{rows[0].pk}/do/dismiss/", follow=True))
    asked = choose(client, rows[1:], "dismiss_actions", url=PENDING)
    confirm(client, asked, url=PENDING)
    assert not PendingAction.objects.exists()


def test_an_action_without_the_worker_says_that_some_are_left(staff, several, fake_clock, monkeypatch):
    """The worker dismisses nothing."""
    rows = queued(fake_clock, several)
    monkeypatch.setattr(bulk_actions, "ROWS_PER_REQUEST", 3)
    client = staff("view_pendingaction", "cancel_delivery")
    page = choose(client, rows, "dismiss_actions", url=PENDING, apply="1")
    assert "do it again for the rest" in message_text(page)
    assert PendingAction.objects.count() == 2


@pytest.mark.parametrize(
    ("permission", "left"),
    [
        ("retry_delivery", {"cancel", "return", "replay", "acknowledge"}),
        ("cancel_delivery", {"retry", "refresh", "return", "replay", "acknowledge"}),
        ("replay_event", {"cancel", "retry", "refresh", "return"}),
    ],
)
def test_actions_are_dismissed_only_by_users_who_could_request_them(staff, several, fake_clock, permission, left):
    """A colleague's pending cancel is not for a user with the permission to retry: alone, among others, or in bulk."""
    for name in PendingAction.Name.values:
        queued(fake_clock, several[:1], name=name)
    client, rows = staff("view_pendingaction", permission), list(PendingAction.objects.all())
    assert "stay on the list" in message_text(choose(client, rows, "dismiss_actions", url=PENDING, apply="1"))
    assert set(PendingAction.objects.values_list("name", flat=True)) == left
    kept = PendingAction.objects.first()
    assert client.post(f"{PENDING}{kept.pk}/do/dismiss/").status_code == 403
    assert client.get(f"{PENDING}{kept.pk}/do/other/").status_code == 404
    assert "stay on the list" in message_text(choose(client, [kept], "dismiss_actions", url=PENDING, apply="1"))
    assert PendingAction.objects.filter(pk=kept.pk).exists()


def test_each_effect_has_its_words():
    """Without them the confirmation of a bulk action could not be drawn."""
    assert set(outcomes.EFFECTS) == set(Effect)
