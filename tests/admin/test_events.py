"""The inbox's pages: what could not be applied can be replayed."""

import pytest
from django.contrib.admin.models import LogEntry
from django.utils.html import strip_tags

from kaspi_delivery_django.models import Delivery, WebhookEvent
from kaspi_delivery_django.services.inbox import OTHER_DATA
from tests.conftest import event

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/kaspi_delivery/webhookevent/"


@pytest.fixture
def failed(booked, post_webhook):
    """Return an event that could not be applied when it came."""
    post_webhook(event(booked, "accepted"))
    WebhookEvent.objects.update(state="failed", delivery=None, error="DataError")
    Delivery.objects.update(status="created")
    booked.history.filter(to_status="accepted").delete()
    return WebhookEvent.objects.get()


def test_a_dead_letter_is_replayed(staff, failed, turnable):
    """However old it is: its timestamp was verified when it came."""
    turnable.turn(days=3)
    clerk = staff("view_webhookevent", "replay_event")
    page = clerk.post(f"{LIST}{failed.pk}/do/replay/", follow=True)
    assert "applied." in next(str(message) for message in page.context["messages"])
    assert Delivery.objects.get().status == "accepted"
    assert "Replay" in LogEntry.objects.get().change_message


def test_the_button_is_there_only_where_it_helps(staff, failed):
    """What was applied needs no replay."""
    clerk = staff("view_webhookevent", "replay_event")
    page, button = f"{LIST}{failed.pk}/change/", f"{LIST}{failed.pk}/do/replay/"
    assert button in clerk.get(page).content.decode()
    WebhookEvent.objects.update(state="applied")
    assert button not in clerk.get(page).content.decode()
    assert clerk.get(f"{LIST}{failed.pk}/do/other/").status_code == 404


def test_a_replay_needs_its_permission_on_the_post_too(staff, failed):
    """A forged one is refused."""
    assert staff("view_webhookevent").post(f"{LIST}{failed.pk}/do/replay/").status_code == 403
    assert WebhookEvent.objects.get().state == "failed"


def test_several_are_replayed_and_reported_row_by_row(staff, failed, booked, post_webhook):
    """One is applied, one has no delivery yet, one fails again."""
    document = event(booked, "created", event_id="wh_2")
    post_webhook({**document, "data": {**document["data"], "deliveryId": "dlv_2", "externalOrderId": "order-0"}})
    post_webhook(event(booked, "in_transit", event_id="wh_3"))
    WebhookEvent.objects.filter(event_id="wh_3").update(state="failed", body="{}")
    clerk = staff("view_webhookevent", "replay_event")
    keys = list(WebhookEvent.objects.values_list("pk", flat=True))
    chosen = {"action": "replay_events", "_selected_action": keys}
    assert "form" in clerk.post(LIST, chosen).context
    page = clerk.post(LIST, {**chosen, "apply": "1"}, follow=True)
    said = "\n".join(strip_tags(str(message)) for message in page.context["messages"])
    assert "wh_1: noted" in said
    assert "wh_2: parked" in said
    assert "wh_3: failed." in said


def test_a_dead_letter_is_acknowledged_alone_or_with_others(staff, failed, booked, post_webhook):
    """It leaves the list, and takes no effect."""
    post_webhook(event(booked, "in_transit", event_id="wh_2"))
    WebhookEvent.objects.update(state="conflict")
    Delivery.objects.update(status="created")
    clerk, other = staff("view_webhookevent", "replay_event"), WebhookEvent.objects.get(event_id="wh_2")
    page = clerk.post(f"{LIST}{failed.pk}/do/acknowledge/", follow=True)
    assert "taken off the list" in str(next(iter(page.context["messages"])))
    clerk.post(LIST, {"action": "acknowledge_events", "_selected_action": other.pk, "apply": "1"})
    assert set(WebhookEvent.objects.values_list("state", flat=True)) == {"acknowledged"}
    assert Delivery.objects.get().status == "created"


def test_a_replay_that_can_tell_nothing_is_not_offered(staff, failed):
    """One id came with two contents: only acknowledging is left."""
    WebhookEvent.objects.update(state="conflict", error=OTHER_DATA)
    page = staff("view_webhookevent", "replay_event").get(f"{LIST}{failed.pk}/change/").content.decode()
    assert "do/replay/" not in page
    assert "do/acknowledge/" in page
    assert "came twice with different contents" in page
