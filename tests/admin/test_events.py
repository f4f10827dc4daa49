"""The pages of webhook events: what could not be applied can be replayed or acknowledged."""

import pytest
from django.contrib.admin.models import LogEntry

from kaspi_delivery_django.models import Delivery, WebhookEvent
from tests.admin.conftest import FOLDER, change_page, choose, message_text
from tests.conftest import event

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS = f"{FOLDER}/webhookevent/"
ALLOWED = ("view_webhookevent", "replay_event")


def test_a_dead_letter_is_replayed(staff, dead_letter, fake_clock):
    """However old it is: its timestamp was verified when it came. Then there is no button."""
    fake_clock.advance(days=3)
    user, button = staff(*ALLOWED), f"{EVENTS}{dead_letter.pk}/do/replay/"
    assert button in change_page(user, dead_letter)
    assert "applied." in message_text(user.post(button, follow=True))
    assert Delivery.objects.get().status == "accepted"
    assert "Replay" in LogEntry.objects.get().change_message
    assert button not in change_page(user, dead_letter)
    assert user.get(f"{EVENTS}{dead_letter.pk}/do/other/").status_code == 404


def test_a_replay_needs_its_permission_on_the_post_too(staff, dead_letter):
    """A forged one is refused, and so is a forged bulk action."""
    client = staff("view_webhookevent")
    assert client.post(f"{EVENTS}{dead_letter.pk}/do/replay/").status_code == 403
    assert choose(client, [dead_letter], "replay_events", url=EVENTS).status_code == 403
    assert WebhookEvent.objects.get().state == "failed"


def test_several_are_replayed_and_reported_in_one_message(staff, dead_letter, booked, post_webhook):
    """One is applied, one has no delivery yet, one fails again."""
    document = event(booked, "created", event_id="wh_2")
    post_webhook({**document, "data": {**document["data"], "deliveryId": "dlv_2", "externalOrderId": "order-0"}})
    post_webhook(event(booked, "in_transit", event_id="wh_3"))
    WebhookEvent.objects.filter(event_id="wh_3").update(state="failed", body="{}")
    page = choose(staff(*ALLOWED), WebhookEvent.objects.all(), "replay_events", url=EVENTS, apply="1")
    assert message_text(page).splitlines() == [
        "1: noted: nothing to change.",
        "1: parked: no delivery yet. delivery.created wh_2",
        "1 failed again. delivery.in_transit wh_3",
    ]


def test_an_event_with_two_contents_can_only_be_acknowledged(staff, dead_letter, booked, post_webhook):
    """Alone or with others: it leaves the list, and takes no effect."""
    post_webhook(event(booked, "in_transit", event_id="wh_2"))
    WebhookEvent.objects.update(state="conflict", error=WebhookEvent.Reason.OTHER_DATA)
    Delivery.objects.update(status="created")
    user, other = staff(*ALLOWED), WebhookEvent.objects.get(event_id="wh_2")
    page = change_page(user, dead_letter)
    assert ("do/replay/" in page, "do/acknowledge/" in page) == (False, True)
    assert "came twice with different contents" in page
    answer = user.post(f"{EVENTS}{dead_letter.pk}/do/acknowledge/", follow=True)
    assert "taken off the list" in message_text(answer)
    choose(user, [other], "acknowledge_events", url=EVENTS, apply="1")
    assert set(WebhookEvent.objects.values_list("state", flat=True)) == {"acknowledged"}
    assert Delivery.objects.get().status == "created"
