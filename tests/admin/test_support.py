"""What Kaspi's support is asked with stands on a page as plain text, for anyone who can view the page."""

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from tests.conftest import event

pytestmark = pytest.mark.django_db(transaction=True)

BY_ITSELF = ('<div class="readonly">{}</div>', "<bdi>{}</bdi>")


def shows(client, row, *texts):
    """Whether the row's own page has each text by itself, so that it can be copied."""
    page = client.get(f"/admin/kaspi_delivery/{row._meta.model_name}/{row.pk}/change/").content.decode()
    return all(any(place.format(text) in page for place in BY_ITSELF) for text in texts)


def test_a_delivery_shows_its_id(staff, booked):
    """Without any permission beyond viewing."""
    assert shows(staff(), booked, booked.delivery_id)


def test_an_event_shows_its_id(staff, booked, post_webhook):
    """The event id and the type; the body stays masked."""
    post_webhook(event(booked, "accepted", event_id="wh_3e0a"))
    stored = WebhookEvent.objects.get()
    assert shows(staff("view_webhookevent"), stored, "wh_3e0a", "delivery.accepted")


def test_a_dead_letter_shows_whom_it_names(staff, booked, post_webhook):
    """An event that is linked to no delivery shows the ids that it came with."""
    document = event(booked, "accepted", event_id="wh_lost")
    data = {**document["data"], "deliveryId": "dlv_other", "externalOrderId": "order-other"}
    post_webhook({**document, "data": data})
    assert shows(staff("view_webhookevent"), WebhookEvent.objects.get(), "wh_lost", "dlv_other", "order-other")


def test_a_call_shows_its_key(staff, booked):
    """The idempotency key, by which Kaspi knows the request."""
    call = ApiCall.objects.get()
    assert shows(staff("view_apicall"), call, call.idempotency_key)


def test_a_deliverys_page_lists_its_events(staff, booked, post_webhook):
    """Each with its id, so that one click from the list is enough."""
    post_webhook(event(booked, "accepted", event_id="wh_3e0a"))
    page = staff("view_webhookevent").get(f"/admin/kaspi_delivery/delivery/{Delivery.objects.get().pk}/change/")
    assert "wh_3e0a" in page.content.decode()
