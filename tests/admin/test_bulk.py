"""Bulk actions: row by row while there is time, and the rest handed to the worker."""

import pytest
from django.contrib.admin.models import LogEntry

from kaspi_delivery_django.admin import asking
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
    hidden = {}
    for name, value in page.context["hidden"]:
        hidden.setdefault(name, []).append(value)
    return client.post(LIST, {**hidden, **answers}, follow=True)


def test_the_page_that_asks_names_the_rows_and_says_how_many_more(staff, several, monkeypatch):
    """It shows the first ones only."""
    monkeypatch.setattr(asking, "ROWS_SHOWN", 3)
    page = choose(staff("cancel_delivery"), several).content.decode()
    assert [str(row) in page for row in several] == [True, True, True, False]
    assert "and 1 more row" in page


def test_what_one_request_has_no_room_for_is_handed_over(staff, several, monkeypatch, drain):
    """Two are done, two wait for the worker, who does them too."""
    monkeypatch.setattr(asking, "ROWS_SHOWN", 2)
    client = staff("cancel_delivery")
    page = confirm(client, choose(client, several), reason="out of stock")
    assert said(page).count("Kaspi is asked to cancel") == 2
    assert "2 more rows are handed to the worker" in said(page)
    waiting = PendingAction.objects.order_by("pk")
    assert [action.delivery_id for action in waiting] == [row.pk for row in several[2:]]
    assert {(action.reason, action.asked_by) for action in waiting} == {("out of stock", "operator")}
    assert LogEntry.objects.filter(change_message__contains="handed to the worker").count() == 2
    drain()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"cancelled"}


def test_what_one_request_has_no_time_for_is_handed_over(staff, several, monkeypatch):
    """The first row is late already."""
    monkeypatch.setattr(asking, "REQUEST_S", 0)
    client = staff("cancel_delivery")
    page = confirm(client, choose(client, several), reason="out of stock")
    assert "4 more rows are handed to the worker" in said(page)
    assert PendingAction.objects.count() == 4


def test_the_whole_list_is_asked_about_without_naming_each_row(staff, several, world, drain):
    """A form of ten thousand fields would be refused."""
    client = staff("cancel_delivery")
    page = choose(client, several[:1], select_across="1")
    assert len(page.context["rows"]) == 4
    assert len([name for name, _value in page.context["hidden"] if name == "_selected_action"]) == 1
    confirm(client, page, reason="out of stock")
    drain()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"cancelled"}


def test_a_row_that_came_meanwhile_was_not_asked_about(staff, several, drain):
    """The whole list is the list that was shown."""
    client = staff("cancel_delivery")
    page = choose(client, several[:1], select_across="1")
    late = Order.objects.create()
    drain()
    confirm(client, page, reason="out of stock")
    assert Delivery.objects.get(object_id=str(late.pk)).cancel_requested_at is None
    assert Delivery.objects.exclude(cancel_requested_at=None).count() == 4


@pytest.mark.parametrize("up_to", ["x", "-1", "9" * 30, "1;2"])
def test_a_forged_limit_does_nothing(staff, several, up_to):
    """And breaks nothing."""
    page = choose(staff("cancel_delivery"), several, apply="1", reason="forged", up_to=up_to)
    assert page.status_code == 200
    assert not Delivery.objects.exclude(cancel_requested_at=None).exists()


def test_a_row_that_is_gone_meanwhile_is_left_out(staff, several, monkeypatch):
    """The others are done."""
    monkeypatch.setattr(asking.AskingAdmin, "_do", lambda *_: Delivery.objects.filter(pk=several[1].pk).delete())
    page = choose(staff("cancel_delivery"), several[:2], apply="1", reason="x")
    assert page.status_code == 200


def test_refused_actions_are_listed_and_dismissed(staff, several, turnable):
    """With the reason; one by one or several."""
    rows = [
        PendingAction.objects.create(
            name="cancel", delivery=row, created_at=turnable.now, failed_at=turnable.now, failure="It is delivered."
        )
        for row in several[:3]
    ]
    client, url = staff("view_pendingaction", "retry_delivery"), "/admin/kaspi_delivery/pendingaction/"
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
    assert PendingAction.objects.exists()


def test_what_cannot_be_handed_over_says_that_some_are_left(staff, several, turnable, monkeypatch):
    """Dismissing is for here and now."""
    for row in several:
        PendingAction.objects.create(name="cancel", delivery=row, created_at=turnable.now)
    monkeypatch.setattr(asking, "ROWS_SHOWN", 3)
    keys = list(PendingAction.objects.values_list("pk", flat=True))
    client = staff("view_pendingaction", "retry_delivery")
    url = "/admin/kaspi_delivery/pendingaction/"
    page = client.post(url, {"action": "dismiss_actions", "_selected_action": keys, "apply": "1"}, follow=True)
    assert "do it again for the rest" in said(page)
    assert PendingAction.objects.count() == 1
