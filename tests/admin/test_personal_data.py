"""Phones, names and addresses on the admin's pages: only for who may see them."""

import pytest

from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from tests.conftest import event

pytestmark = pytest.mark.django_db(transaction=True)

PHONE = "+7 701 555 00 42"
VIEWS = ("view_apicall", "view_webhookevent", "view_statuschange")
ROWS = {"delivery": Delivery, "apicall": ApiCall, "webhookevent": WebhookEvent, "statuschange": StatusChange}
COLUMNS = (
    (Delivery, ("dropoff_phone", "pickup_notes", "cancel_reason", "raw")),
    (ApiCall, ("payload", "error_message")),
    (WebhookEvent, ("body",)),
    (StatusChange, ("note",)),
)


@pytest.fixture
def told(booked, post_webhook):
    """Return the ids of rows that have a phone in every column where one can be."""
    post_webhook(event(booked, "accepted"))
    for model, names in COLUMNS:
        model.objects.update(**dict.fromkeys(names, PHONE))
    return {name: model.objects.order_by("pk").first().pk for name, model in ROWS.items()}


def pages(client, told):
    """Return what the list and the page of each kind of row show, as one text."""
    folder = "/admin/kaspi_delivery"
    urls = [url for name, pk in told.items() for url in (f"{folder}/{name}/", f"{folder}/{name}/{pk}/change/")]
    answers = [client.get(url) for url in urls]
    assert {answer.status_code for answer in answers} == {200}
    return {url: answer.content.decode().replace("&#x2B;", "+") for url, answer in zip(urls, answers, strict=True)}


def test_who_may_only_look_sees_no_phone(staff, told):
    """On no list, on no page, and in no table inside a page."""
    assert not [url for url, text in pages(staff(*VIEWS), told).items() if PHONE in text]


def test_who_may_see_personal_data_sees_it(staff, told):
    """On each row's own page, and still on no list."""
    shown = [url for url, text in pages(staff(*VIEWS, "view_personal_data"), told).items() if PHONE in text]
    assert len(shown) == len(ROWS)
    assert all("/change/" in url for url in shown)
