"""Bulk actions: row by row while there is time, and the rest queued for the worker."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection

from kaspi_delivery_django.admin import confirmation
from kaspi_delivery_django.models import Delivery, PendingAction
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


def choose(client, rows, **more):
    """Choose to cancel these rows."""
    data = {"action": "cancel_deliveries", "_selected_action": [row.pk for row in rows], **more}
    return client.post(LIST, data, follow=True)


def said(page):
    """Return the messages as one text."""
    return "\n".join(str(message) for message in page.context["messages"])


def confirm(client, page, **answers):
    """Send the form that a page asks with."""
    return client.post(LIST, {**page.context["hidden"], **answers}, follow=True)


def test_the_page_that_asks_names_the_rows_and_says_how_many_more(staff, several, monkeypatch):
    """It shows the first ones only."""
    monkeypatch.setattr(confirmation, "ROWS_SHOWN", 3)
    page = choose(staff("cancel_delivery"), several).content.decode()
    assert [str(row) in page for row in several] == [True, True, True, False]
    assert "and 1 more row" in page


def test_what_one_request_has_no_room_for_is_handed_over(staff, several, monkeypatch, drain):
    """Two are done, two wait for the worker, who does them too."""
    monkeypatch.setattr(confirmation, "ROWS_SHOWN", 2)
    client = staff("cancel_delivery")
    page = confirm(client, choose(client, several), reason="out of stock")
    assert said(page).count("Kaspi is asked to cancel") == 2
    assert "2 more rows are queued for the worker" in said(page)
    waiting = PendingAction.objects.order_by("pk")
    assert [action.delivery_id for action in waiting] == [row.pk for row in several[2:]]
    assert {(action.reason, action.asked_by) for action in waiting} == {("out of stock", "operator")}
    assert LogEntry.objects.filter(change_message__contains="queued for the worker").count() == 2
    drain()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"cancelled"}


def test_what_one_request_has_no_time_for_is_handed_over(staff, several, monkeypatch):
    """The first row is late already."""
    monkeypatch.setattr(confirmation, "REQUEST_S", 0)
    client = staff("cancel_delivery")
    page = confirm(client, choose(client, several), reason="out of stock")
    assert "4 more rows are queued for the worker" in said(page)
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
    """Somebody else has settled it meanwhile."""
    client, flagged = staff("cancel_delivery"), f"{LIST}?attention=any"
    Delivery.objects.update(attention="too_old")
    data = {"action": "cancel_deliveries", "_selected_action": several[0].pk, "select_across": "1"}
    hidden = client.post(flagged, data).context["hidden"]
    Delivery.objects.filter(pk=several[0].pk).update(attention="")
    client.post(flagged, {**hidden, "reason": "out of stock"})
    assert list(Delivery.objects.filter(cancel_requested_at=None)) == several[:1]


def test_when_all_of_the_rows_are_gone_the_operator_is_told(staff, several):
    """There is nothing to ask about."""
    Delivery.objects.filter(pk=several[0].pk).delete()
    assert "The row is gone." in said(choose(staff("cancel_delivery"), several[:1]))


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

    monkeypatch.setattr(confirmation.ConfirmedActionsAdmin, "_do", do)
    choose(staff("cancel_delivery"), several[:2], apply="1", reason="x")
    assert attempted == several[:1]


@pytest.mark.parametrize("key", FORGED[1:])
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


def test_without_a_worker_the_operator_is_told(staff, several, monkeypatch, turnable):
    """Nothing would be done, and nobody would know."""
    monkeypatch.setattr(confirmation, "REQUEST_S", 0)
    client = staff("cancel_delivery")
    assert "No worker is seen" not in said(confirm(client, choose(client, several), reason="x"))
    turnable.turn(minutes=10)
    assert "No worker is seen" in said(confirm(client, choose(client, several), reason="x"))


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
    assert "taken off the list" in said(page)
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


def test_what_cannot_be_handed_over_says_that_some_are_left(staff, several, turnable, monkeypatch):
    """Dismissing is for here and now."""
    for row in several:
        PendingAction.objects.create(name="cancel", delivery=row, created_at=turnable.now)
    monkeypatch.setattr(confirmation, "ROWS_SHOWN", 3)
    keys = list(PendingAction.objects.values_list("pk", flat=True))
    client = staff("view_pendingaction", "cancel_delivery")
    url = "/admin/kaspi_delivery/pendingaction/"
    page = client.post(url, {"action": "dismiss_actions", "_selected_action": keys, "apply": "1"}, follow=True)
    assert "do it again for the rest" in said(page)
    assert PendingAction.objects.count() == 1


def test_nothing_is_recorded_as_handed_over_that_was_not(staff, several, monkeypatch):
    """The admin's log is believed."""
    monkeypatch.setattr(confirmation, "ROWS_SHOWN", 0)
    monkeypatch.setattr(confirmation.bulk_actions, "queue", lambda *_args, **_options: 1 / 0)
    client = staff("cancel_delivery")
    client.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr(confirmation, "ROWS_SHOWN", 100)
        page = choose(client, several)
    assert client.post(LIST, {**page.context["hidden"], "reason": "closed"}).status_code == 500
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("permission", "left"),
    [
        ("retry_delivery", {"cancel", "replay", "acknowledge"}),
        ("cancel_delivery", {"retry", "refresh", "replay", "acknowledge"}),
        ("replay_event", {"cancel", "retry", "refresh"}),
    ],
)
def test_several_are_dismissed_only_by_who_could_ask_for_them(staff, several, turnable, permission, left):
    """A colleague's pending cancel is not for somebody with the permission to retry."""
    for name in PendingAction.Name.values:
        PendingAction.objects.create(name=name, delivery=several[0], created_at=turnable.now)
    keys = list(PendingAction.objects.values_list("pk", flat=True))
    chosen = {"action": "dismiss_actions", "_selected_action": keys, "apply": "1"}
    page = staff("view_pendingaction", permission).post("/admin/kaspi_delivery/pendingaction/", chosen, follow=True)
    assert set(PendingAction.objects.values_list("name", flat=True)) == left
    assert "stay on the list" in said(page)


def test_who_may_dismiss_none_of_the_chosen_is_asked_nothing(staff, several, turnable):
    """The page says why."""
    row = PendingAction.objects.create(name="cancel", delivery=several[0], created_at=turnable.now)
    chosen = {"action": "dismiss_actions", "_selected_action": [row.pk], "apply": "1"}
    client = staff("view_pendingaction", "retry_delivery")
    assert "stay on the list" in said(client.post("/admin/kaspi_delivery/pendingaction/", chosen, follow=True))
    assert PendingAction.objects.exists()
