"""What rows' pages show: ids for Kaspi's support to every user, phones, names and addresses to some."""

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery, FailedAttempt, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery
from kaspi_delivery_django.services.outbox import sender
from tests.admin.conftest import FOLDER, LIST, TABLES, VIEWS, change_page
from tests.conftest import event

pytestmark = pytest.mark.django_db(transaction=True)

PHONE = "+7 701 555 00 42"
COLUMNS = (
    (Delivery, ("dropoff_phone", "pickup_notes", "cancel_reason", "raw")),
    (ApiCall, ("payload", "error_message")),
    (WebhookEvent, ("body",)),
    (StatusChange, ("note",)),
)


def has_alone(client, row, *texts):
    """Return whether the row's page has each text by itself, so that it can be copied."""
    page = change_page(client, row)
    return all(f'<div class="readonly">{text}</div>' in page or f"<bdi>{text}</bdi>" in page for text in texts)


def test_phones_are_shown_only_to_users_who_can_see_personal_data(staff, booked, post_webhook):
    """On each row's own page, and on no list."""
    post_webhook(event(booked, "accepted"))
    for model, names in COLUMNS:
        model.objects.update(**dict.fromkeys(names, PHONE))
    rows = [model.objects.order_by("pk").first() for model, _names in COLUMNS]
    client = staff(*VIEWS)
    assert not [row for row in rows if PHONE in change_page(client, row)]
    client = staff(*VIEWS, "view_personal_data")
    assert all(PHONE in change_page(client, row) for row in rows)
    assert not [name for name in TABLES if "555 00 42" in client.get(f"{FOLDER}/{name}/").content.decode()]


@pytest.mark.parametrize("permissions", [(), ("view_personal_data",)])
def test_the_list_shows_the_name_at_most(staff, booked, permissions):
    """Phones and addresses stay in their columns; the customer's name is for users who can see personal data."""
    page = staff(*permissions).get(LIST).content.decode()
    assert booked.order_label in page
    assert booked.dropoff_phone not in page
    assert booked.dropoff_address not in page
    assert (booked.dropoff_name in page) == bool(permissions)


def test_what_is_stored_in_ascii_is_shown_in_its_letters(staff, booked, post_webhook):
    """Markup is escaped, and what shows nothing stays as it is; for users who can see personal data alone."""
    body = r'{"eventId": "wh_9", "data": {"notes": "\u049a\u0430\u0437\u0430\u049b \ud83d\ude00 \u202e <b>"}}'
    assert post_webhook(body.encode()).status_code == 200
    Delivery.objects.update(raw=body)
    ApiCall.objects.update(payload=body)
    for model in (WebhookEvent, Delivery, ApiCall):
        row = model.objects.get()
        shown = change_page(staff(*VIEWS, "view_personal_data"), row)
        assert r"Қазақ 😀 \u202e &lt;b&gt;" in shown
        hidden = change_page(staff(*VIEWS), row)
        assert ("Қазақ" in hidden, "u049a" in hidden) == (False, False)
    assert "u049a" in WebhookEvent.objects.get().body


def test_hostile_text_is_shown_as_text(staff, booked, drain):
    """Markup in a reason stays inert."""
    cancel_delivery(booked, reason="<script>alert(1)</script>")
    drain()
    page = change_page(staff(*VIEWS, "view_personal_data"), booked)
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_ids_are_shown_to_every_user_who_can_view_the_page(staff, booked, post_webhook):
    """Of a delivery, its events and calls; of an event without a delivery the ids that it came with."""
    post_webhook(event(booked, "accepted", event_id="wh_3e0a"))
    document = event(booked, "accepted", event_id="wh_lost")
    data = {**document["data"], "deliveryId": "dlv_other", "externalOrderId": "order-other"}
    post_webhook({**document, "data": data})
    client, call = staff(*VIEWS), ApiCall.objects.get()
    linked, parked = WebhookEvent.objects.order_by("pk")
    assert has_alone(client, booked, booked.delivery_id)
    assert has_alone(client, linked, "wh_3e0a", "delivery.accepted")
    assert has_alone(client, parked, "wh_lost", "dlv_other", "order-other")
    assert has_alone(client, call, call.idempotency_key)
    assert "wh_3e0a" in change_page(client, booked)


def test_a_call_shows_its_request_ids(kaspi, due, fake_clock, admin_client):
    """Of the attempt that failed, and of the one that booked."""
    kaspi.faults.add(Fault(operation="create", status=500))
    sender.send(due.pk)
    fake_clock.advance(minutes=1)
    sender.send(due.pk)
    failed, last = FailedAttempt.objects.get().request_id, ApiCall.objects.get().request_id
    assert failed != last
    page = change_page(admin_client, due)
    assert (failed in page, last in page) == (True, True)
    assert failed in admin_client.get(f"{FOLDER}/failedattempt/").content.decode()


def test_no_row_is_edited_by_hand(admin_client, booked):
    """No one adds, changes or deletes a delivery, not even a superuser."""
    forged = {"status": "delivered", "post": "yes"}
    for page in ("add", f"{booked.pk}/change", f"{booked.pk}/delete"):
        assert admin_client.post(f"{LIST}{page}/", forged).status_code == 403
    booked.refresh_from_db()
    assert booked.status == "created"
