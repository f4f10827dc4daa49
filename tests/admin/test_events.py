"""The inbox's pages: what could not be applied can be replayed."""

import pytest
from django.contrib.admin.models import LogEntry

from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from tests.admin.conftest import message_text
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
    user = staff("view_webhookevent", "replay_event")
    page = user.post(f"{LIST}{failed.pk}/do/replay/", follow=True)
    assert "applied." in next(str(message) for message in page.context["messages"])
    assert Delivery.objects.get().status == "accepted"
    assert "Replay" in LogEntry.objects.get().change_message


def test_the_button_is_there_only_where_it_helps(staff, failed):
    """What was applied needs no replay."""
    user = staff("view_webhookevent", "replay_event")
    page, button = f"{LIST}{failed.pk}/change/", f"{LIST}{failed.pk}/do/replay/"
    assert button in user.get(page).content.decode()
    WebhookEvent.objects.update(state="applied")
    assert button not in user.get(page).content.decode()
    assert user.get(f"{LIST}{failed.pk}/do/other/").status_code == 404


def test_the_body_is_shown_in_the_letters_of_its_language(staff, failed, post_webhook):
    """It is stored in ASCII; what could be markup is escaped, and what shows nothing stays as it is."""
    body = r'{"eventId": "wh_9", "data": {"notes": "\u049a\u0430\u0437\u0430\u049b \ud83d\ude00 \u202e <b>"}}'
    assert post_webhook(body.encode()).status_code == 200
    event, see = WebhookEvent.objects.get(event_id="wh_9"), ("view_webhookevent", "view_personal_data")
    page = staff(*see).get(f"{LIST}{event.pk}/change/").content.decode()
    assert r"Қазақ 😀 \u202e &lt;b&gt;" in page
    assert "u049a" in event.body


@pytest.mark.parametrize(("kind", "model", "column"), [("delivery", Delivery, "raw"), ("apicall", ApiCall, "payload")])
def test_what_else_is_stored_in_ascii_is_shown_so_too(staff, booked, kind, model, column):
    """What was sent to Kaspi, and what it answered last; for users who can see personal data alone."""
    model.objects.update(**{column: r'{"notes": "\u049a\u0430"}'})
    page = f"/admin/kaspi_delivery/{kind}/{model.objects.get().pk}/change/"
    assert "Қа" in staff(f"view_{kind}", "view_personal_data").get(page).content.decode()
    seen = staff(f"view_{kind}").get(page).content.decode()
    assert ("Қа" in seen, "u049a" in seen) == (False, False)


def test_the_body_is_not_shown_without_the_permission(staff, failed):
    """Neither as it is stored nor as it is read."""
    WebhookEvent.objects.update(body=r'{"notes": "\u049a\u0430"}')
    page = staff("view_webhookevent").get(f"{LIST}{failed.pk}/change/").content.decode()
    assert "Қа" not in page
    assert "u049a" not in page


def test_a_replay_needs_its_permission_on_the_post_too(staff, failed):
    """A forged one is refused."""
    assert staff("view_webhookevent").post(f"{LIST}{failed.pk}/do/replay/").status_code == 403
    assert WebhookEvent.objects.get().state == "failed"


def test_several_are_replayed_and_reported_in_one_message(staff, failed, booked, post_webhook):
    """One is applied, one has no delivery yet, one fails again."""
    document = event(booked, "created", event_id="wh_2")
    post_webhook({**document, "data": {**document["data"], "deliveryId": "dlv_2", "externalOrderId": "order-0"}})
    post_webhook(event(booked, "in_transit", event_id="wh_3"))
    WebhookEvent.objects.filter(event_id="wh_3").update(state="failed", body="{}")
    user = staff("view_webhookevent", "replay_event")
    keys = list(WebhookEvent.objects.values_list("pk", flat=True))
    chosen = {"action": "replay_events", "_selected_action": keys}
    assert "form" in user.post(LIST, chosen).context
    page = user.post(LIST, {**chosen, "apply": "1"}, follow=True)
    assert message_text(page).splitlines() == [
        "1: noted: nothing to change.",
        "1: parked: no delivery yet. delivery.created wh_2",
        "1 failed again. delivery.in_transit wh_3",
    ]


def test_a_dead_letter_is_acknowledged_alone_or_with_others(staff, failed, booked, post_webhook):
    """It leaves the list, and takes no effect."""
    post_webhook(event(booked, "in_transit", event_id="wh_2"))
    WebhookEvent.objects.update(state="conflict")
    Delivery.objects.update(status="created")
    user, other = staff("view_webhookevent", "replay_event"), WebhookEvent.objects.get(event_id="wh_2")
    page = user.post(f"{LIST}{failed.pk}/do/acknowledge/", follow=True)
    assert "taken off the list" in str(next(iter(page.context["messages"])))
    user.post(LIST, {"action": "acknowledge_events", "_selected_action": other.pk, "apply": "1"})
    assert set(WebhookEvent.objects.values_list("state", flat=True)) == {"acknowledged"}
    assert Delivery.objects.get().status == "created"


def test_a_replay_that_cannot_help_is_not_offered(staff, failed):
    """One id came with two contents: only acknowledging is left."""
    WebhookEvent.objects.update(state="conflict", error=WebhookEvent.Reason.OTHER_DATA)
    page = staff("view_webhookevent", "replay_event").get(f"{LIST}{failed.pk}/change/").content.decode()
    assert "do/replay/" not in page
    assert "do/acknowledge/" in page
    assert "came twice with different contents" in page
