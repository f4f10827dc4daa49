"""The staff's pages of deliveries: what they show to whom, and the action that cancels."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils.html import escape

from kaspi_delivery_django.admin import explanations
from kaspi_delivery_django.models import Attention, Delivery, FailedAttempt, PendingAction
from kaspi_delivery_django.services import cancel_delivery
from tests.admin.conftest import message_text
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/kaspi_delivery/delivery/"


def cancel(client, *deliveries, reason=None):
    """Choose the action for these rows; with a reason, confirm it too."""
    data = {"action": "cancel_deliveries", "_selected_action": [d.pk for d in deliveries]}
    if reason is not None:
        data |= {"apply": "1", "reason": reason}
    return client.post(LIST, data, follow=True)


def page_of(client, delivery):
    """Return the delivery's page as text."""
    return client.get(f"{LIST}{delivery.pk}/change/").content.decode()


def test_the_list_needs_the_view_permission(client):
    """Staff without it see nothing."""
    client.force_login(User.objects.create_user("other", password="x", is_staff=True))
    assert client.get(LIST).status_code == 403


@pytest.mark.parametrize("permissions", [(), ("view_personal_data",)])
def test_the_list_shows_the_name_at_most(staff, booked, permissions):
    """Phones and addresses stay in their columns; the customer's name is for users who may see personal data."""
    page = staff(*permissions).get(LIST).content.decode()
    assert booked.order_label in page
    assert booked.dropoff_phone not in page
    assert booked.dropoff_address not in page
    assert (booked.dropoff_name in page) == bool(permissions)


def test_the_list_says_in_words_why_a_person_is_needed(staff, booked):
    """A code is no help at 23:00."""
    Delivery.objects.update(attention="too_old")
    assert "It waited too long" in staff().get(LIST).content.decode()


def test_the_page_masks_personal_data_without_the_permission(staff, booked):
    """`view_personal_data` decides, for the mirrored request and for Kaspi's raw answer."""
    page = page_of(staff("view_statuschange", "view_apicall"), booked)
    assert booked.delivery_id in page
    assert booked.dropoff_phone not in page


def test_the_page_shows_them_with_the_permission(staff, booked):
    """And the history, and the calls."""
    page = page_of(staff("view_personal_data", "view_statuschange", "view_apicall"), booked)
    assert booked.dropoff_phone in page
    assert f"create {booked.external_order_id}" in page
    assert 'class="kd-timeline"' in page


@pytest.mark.parametrize(
    ("address", "linked"),
    [
        ("https://track.kaspi.kz/dlv_1", True),
        ("http://track.kaspi.kz/dlv_1", False),
        ("https://track.kaspi.kz.example/dlv_1", False),
        ("https://user@track.kaspi.kz/dlv_1", False),
        ("javascript:alert(1)", False),
        ("https://[", False),
    ],
)
def test_a_tracking_address_is_linked_only_where_it_is_safe(staff, booked, address, linked):
    """https, and a host in TRACKING_HOSTS."""
    Delivery.objects.update(tracking_url=address)
    page = page_of(staff(), booked)
    assert (f'href="{address}"' in page) is linked
    assert (f'href="{address}" rel="noopener noreferrer"' in page) is linked
    assert (f'data-kd-copy="{address}"' in page) is linked
    assert address in page


def test_mirrors_are_read_only(admin_client, booked):
    """Nobody adds, changes or deletes a delivery by hand, not even a superuser."""
    change, delete = f"{LIST}{booked.pk}/change/", f"{LIST}{booked.pk}/delete/"
    for address in (f"{LIST}add/", change, delete):
        forged = {"status": "delivered", "post": "yes"}
        assert admin_client.post(address, forged).status_code == 403
    booked.refresh_from_db()
    assert booked.status == "created"


@pytest.mark.parametrize(
    "table", ["apicall", "webhookevent", "statuschange", "accountstate", "failedattempt", "pendingaction"]
)
def test_every_table_has_a_list_and_a_page(admin_client, booked, deliver_webhooks, table):
    """All of them can be looked at."""
    deliver_webhooks()
    FailedAttempt.objects.create(call=booked.calls.get(), kind="create", at=booked.created_at, error="x")
    PendingAction.objects.create(name="cancel", delivery=booked, created_at=booked.created_at)
    listed = admin_client.get(reverse(f"admin:kaspi_delivery_{table}_changelist"))
    rows = listed.context["cl"].model.objects.all()
    assert rows
    for row in rows:
        url = reverse(f"admin:kaspi_delivery_{table}_change", args=[row.pk])
        assert admin_client.get(url).status_code == 200


def test_cancel_asks_for_the_reason_first(staff, booked):
    """Choosing the action cancels nothing."""
    page = cancel(staff("cancel_delivery"), booked)
    assert "reason" in page.content.decode()
    booked.refresh_from_db()
    assert booked.cancel_requested_at is None


def test_cancel_without_a_reason_asks_again(staff, booked):
    """The field is required."""
    page = cancel(staff("cancel_delivery"), booked, reason=" ")
    assert page.context["form"].errors
    booked.refresh_from_db()
    assert booked.cancel_requested_at is None


def test_a_bulk_cancel_is_reported_in_one_message_and_recorded(staff, kaspi, drain, settings, turnable):
    """One cancelled, one never sent, one in transit, one under way: four lines."""
    orders = [Order.objects.create() for _ in range(4)]
    drain()
    cancelled, unsent, moving, unknown = (Delivery.objects.get(object_id=str(order.pk)) for order in orders)
    kaspi.move(moving.delivery_id, "in_transit")
    unsent.calls.update(state="due", unknown_since=None)
    unknown.calls.update(state="unknown", unknown_since=turnable.now)
    Delivery.objects.filter(pk__in=[unsent.pk, unknown.pk]).update(delivery_id=None, status="")
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "RUNNER": "inline"}
    user = staff("cancel_delivery")
    page = cancel(user, cancelled, unsent, moving, unknown, reason="out of stock")
    assert message_text(page).splitlines() == [
        "1 cancelled.",
        "1 cancelled without a request: not booked at Kaspi.",
        f"1 will be cancelled as soon as its booking is resolved. {unknown}",
        f"1 refused by Kaspi: already in transit, or ended. {moving}",
    ]
    assert LogEntry.objects.count() == 4


def test_cancel_of_a_delivered_parcel_says_so(staff, booked):
    """The operator reads why."""
    Delivery.objects.update(status="delivered")
    page = cancel(staff("cancel_delivery"), booked, reason="too late")
    assert "can no longer be cancelled" in page.content.decode()
    refused, asked = LogEntry.objects.values_list("change_message", flat=True)
    assert asked == "Cancel delivery"
    assert "can no longer be cancelled" in refused


def test_cancel_needs_its_permission_on_the_post_too(staff, booked, kaspi):
    """A forged POST is refused, and Kaspi hears nothing."""
    before = len(kaspi.requests)
    cancel(staff(), booked, reason="forged")
    booked.refresh_from_db()
    assert booked.cancel_requested_at is None
    assert len(kaspi.requests) == before


def test_a_double_click_asks_kaspi_once(staff, booked, kaspi, drain):
    """The second confirmation finds the first one's call."""
    user = staff("cancel_delivery")
    cancel(user, booked, reason="out of stock")
    cancel(user, booked, reason="out of stock")
    drain()
    assert len([r for r in kaspi.requests if r.path.endswith("/cancel")]) == 1


def test_with_a_worker_the_operator_reads_that_kaspi_is_asked(staff, booked):
    """The answer comes later."""
    page = cancel(staff("cancel_delivery"), booked, reason="out of stock")
    assert "Kaspi is asked to cancel" in page.content.decode()


def test_hostile_text_is_shown_as_text(staff, booked, drain):
    """A reason that somebody filled with markup stays inert."""
    cancel_delivery(booked, reason="<script>alert(1)</script>")
    drain()
    page = page_of(staff("view_statuschange", "view_apicall", "view_personal_data"), booked)
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize("reason", Attention.values)
def test_the_page_says_what_to_do(staff, booked, reason):
    """For each reason."""
    Delivery.objects.update(attention=reason)
    booked.refresh_from_db()
    advice = explanations.explain_attention(booked)
    assert advice
    assert escape(advice) in page_of(staff(), booked)


def test_where_nothing_is_wrong_there_is_no_advice(booked):
    """The field is empty."""
    assert explanations.explain_attention(booked) == ""


def test_a_key_that_was_used_may_be_the_sandboxs_memory(booked):
    """A new database beside a sandbox that was not restarted; in production that cannot be."""
    booked.attention = Attention.KEY_REUSED
    assert booked.environment == "sandbox"
    assert "restart the bundled sandbox" in explanations.explain_attention(booked)
    booked.environment = "production"
    assert "restart" not in explanations.explain_attention(booked)
