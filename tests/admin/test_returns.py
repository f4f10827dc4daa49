"""Returns in the admin: a button with its own permission, a bulk action, and links between both ways."""

import csv

import pytest
from django.contrib.admin.models import LogEntry

from kaspi_delivery_django.models import Delivery
from tests.admin.conftest import LIST, change_page, choose, message_text
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def delivered(booked):
    """Return a delivery that its customer has."""
    Delivery.objects.update(status="delivered")
    booked.refresh_from_db()
    return booked


def test_a_return_is_booked_on_the_page_of_its_delivery(staff, delivered):
    """With a reason for staff, which the log does not repeat; then each page links the other, and so does the CSV."""
    client = staff("return_delivery", "view_personal_data")
    url = f"{LIST}{delivered.pk}/do/return/"
    assert url in change_page(client, delivered)
    assert "costs another delivery" in client.get(url).content.decode()
    assert not delivered.returns()
    answer = client.post(url, {"reason": "too small"}, follow=True)
    [back] = delivered.returns()
    assert f"order-{delivered.object_id}-return" in message_text(answer)
    assert "too small" not in LogEntry.objects.get().change_message
    page, own = change_page(client, delivered), change_page(client, back)
    assert (url in page, f"{LIST}{back.pk}/change/" in page) == (False, True)
    assert f"{LIST}{delivered.pk}/change/" in own
    lines = client.get(f"{LIST}export/").getvalue().decode("utf-8-sig").splitlines()
    reasons = [(row["Return of generation"], row["Reason of the return"]) for row in csv.DictReader(lines)]
    assert reasons == [("1", "too small"), ("", "")]
    assert ("too small" in own, "too small" in change_page(staff(), back)) == (True, False)


def test_it_needs_its_own_permission(staff, delivered):
    """Users who can cancel, retry and rebook book no return."""
    client = staff("cancel_delivery", "retry_delivery", "reissue_delivery")
    url = f"{LIST}{delivered.pk}/do/return/"
    assert url not in change_page(client, delivered)
    assert client.post(url, {"reason": ""}).status_code == 403
    assert choose(client, [delivered], "return_deliveries").status_code == 403


def test_several_returns_are_booked_from_the_list(staff, delivered, drain, kaspi):
    """What the customer does not have is left alone, with the reason; the list marks the returns."""
    Order.objects.create()
    drain()
    client = staff("return_delivery")
    asked = choose(client, Delivery.objects.all(), "return_deliveries")
    words = asked.content.decode()
    assert "1 return is booked: a courier fetches the parcel" in words
    assert "The customer does not have the parcel" in words
    client.post(LIST, {**asked.context["hidden"], "reason": ""})
    drain()
    [back] = delivered.returns()
    assert len(kaspi.deliveries_for(back.external_order_id)) == 1
    assert client.get(LIST).content.decode().count("↩") == 1
