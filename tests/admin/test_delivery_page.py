"""A delivery's page from top to bottom: what is wrong, what can be done, the timeline, and what else is known."""

import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path

from kaspi_delivery_django.admin import display, explanations
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, FailedAttempt, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery, refresh_delivery
from kaspi_delivery_django.tracking import tracking_path
from tests.conftest import NOON, event
from tests.shop import adapters
from tests.tracked import add

urlpatterns = [path("admin/", admin.site.urls)]  # a project without our own addresses
pytestmark = pytest.mark.django_db(transaction=True)

VIEWS = ("view_apicall", "view_webhookevent", "view_statuschange")
ACTS = ("cancel_delivery", "retry_delivery", "reissue_delivery")
PHONE = "701 555 00 42"
REFUSAL = f'{{"code": "invalid_phone", "message": "no courier calls {PHONE}"}}'.encode()
HEADING = re.compile(r"<h2[^>]*>\s*(?:<[^>]*>!</span>)?\s*([^<]+?)\s*</h2>")


def page_of(client, delivery=None):
    """Return the page of the delivery, or of the only one, as text."""
    pk = delivery.pk if delivery else Delivery.objects.get().pk
    return client.get(f"/admin/kaspi_delivery/delivery/{pk}/change/").content.decode().replace("&#x27;", "'")


def problem_of(page):
    """Return the panel that says what is wrong, without its markup."""
    found = re.search(r'<section class="kd-problem.*?</section>', page, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split()) if found else ""


@pytest.fixture
def refused(due, kaspi, drain):
    """Return a delivery that Kaspi refused in words that name a phone."""
    kaspi.faults.add(Fault(operation="create", status=422, body=REFUSAL))
    drain()
    return Delivery.objects.get()


@pytest.fixture
def fail(due, kaspi, drain):
    """Let Kaspi fail the booking with this status."""

    def with_status(status, **fault):
        kaspi.faults.add(Fault(operation="create", status=status, times=None, **fault))
        drain()
        return Delivery.objects.get()

    return with_status


def test_kaspis_words_stand_beside_the_advice(staff, refused):
    """The code and the message of the refusal, which request it was, and its id for Kaspi's support."""
    said = problem_of(page_of(staff("view_personal_data"), refused))
    assert said.startswith("! Kaspi refused the request")
    assert "then rebook it" in said
    assert "422 invalid_phone Kaspi does not accept the data of the request. " in said
    assert f"no courier calls {PHONE}" in said
    assert "create, " in said
    assert ApiCall.objects.get().request_id in said


def test_kaspis_words_may_name_people(staff, refused):
    """Without the permission the code is there, and the message nowhere on the page."""
    page = page_of(staff(*VIEWS), refused)
    assert "422 invalid_phone" in problem_of(page)
    assert "shown only to people who may see personal data" in problem_of(page)
    assert PHONE not in page


def test_a_pruned_attempt_leaves_the_calls_own_words(staff, refused):
    """Failed attempts are deleted after a while."""
    FailedAttempt.objects.all().delete()
    assert f"no courier calls {PHONE}" in problem_of(page_of(staff("view_personal_data"), refused))


def test_what_needs_nobody_says_when_it_is_tried_again(staff, fail):
    """Kaspi is down: the request waits, and nothing is to be done."""
    page = page_of(staff(), fail(503))
    assert "A request to Kaspi fails" in problem_of(page)
    assert "503 internal_error Something is wrong at Kaspi" in problem_of(page)
    assert "the next attempt is automatic (03/01/2026" in problem_of(page)
    assert "kd-urgent" not in page


def test_a_refused_key_needs_somebody(staff, fail):
    """All the account's requests wait for the settings to be corrected."""
    page = page_of(staff(), fail(401))
    assert "Kaspi does not accept our API key or address" in problem_of(page)
    assert "Correct the settings" in problem_of(page)
    assert "kd-urgent" in page


def test_an_adapter_that_failed_is_no_answer_of_kaspis(staff, due, drain):
    """Its own words are shown, and no HTTP status."""
    ApiCall.objects.update(state="stuck", reason="adapter_failed", error_message="KeyError at kaspi.py:41")
    Delivery.objects.update(attention="adapter_failed")
    said = problem_of(page_of(staff("view_personal_data")))
    assert "Error The shop's adapter failed. KeyError at kaspi.py:41" in said
    assert "Kaspi's answer" not in said


def test_an_old_refusal_explains_no_other_flag(staff, booked, kaspi, drain):
    """A refused cancel was acknowledged; then the order was edited."""
    kaspi.faults.add(Fault(operation="cancel", status=409))
    cancel_delivery(booked, reason="out of stock")
    drain()
    assert "It is already in transit, or has ended" in problem_of(page_of(staff()))
    Delivery.objects.update(attention="order_edited")
    said = problem_of(page_of(staff()))
    assert "edited" in said
    assert "409" not in said


def test_an_edit_is_named_and_its_values_are_personal(staff, booked, drain):
    """Field by field, as it was booked and as it is now; who may not see the customer's data reads which fields."""
    order = booked.order
    order.address, order.phone = "Dostyk 240, Almaty", "+7 727 111 0042"
    order.save()
    refresh_delivery(booked)
    drain()
    said = problem_of(page_of(staff("view_personal_data")))
    assert "What was changed Dropoff address: Abay 1, Almaty → Dostyk 240, Almaty" in said
    assert "Dropoff phone: +7 727 111 0000 → +7 727 111 0042" in said
    said = problem_of(page_of(staff()))
    assert said.endswith("What was changed Dropoff address Dropoff phone")


def test_a_second_parcel_is_named(staff, booked):
    """By Kaspi's id, which the call has."""
    ApiCall.objects.update(error_code="second_parcel", error_message="dlv_second")
    Delivery.objects.update(attention=Attention.SECOND_PARCEL)
    assert "dlv_second" in problem_of(page_of(staff("view_personal_data")))


def test_where_nothing_is_wrong_nothing_is_said(staff, booked):
    """No empty panel."""
    assert problem_of(page_of(staff())) == ""


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("create", None, "Kaspi did not answer"),
        ("create", 201, "Kaspi's answer cannot be used"),
        ("create", 302, "Kaspi does not accept our API key or address"),
        ("create", 404, "Kaspi does not accept our API key or address"),
        ("cancel", 404, "Kaspi does not know the delivery"),
        ("create", 409, "Kaspi has another request with this key, or has not finished it"),
        ("cancel", 409, "It is already in transit, or has ended"),
        ("create", 418, "Kaspi does not accept the data of the request"),
        ("refresh", 429, "Kaspi asks to wait: there were too many requests"),
        ("create", 408, "Something is wrong at Kaspi"),
        ("create", 502, "Something is wrong at Kaspi"),
    ],
)
def test_an_answer_is_explained(kind, status, words):
    """In words that name who has to do something."""
    assert explanations.explain_answer(kind, status) == words


def test_the_page_goes_from_what_is_wrong_to_what_is_kept(staff, booked, kaspi, drain, post_webhook):
    """The problem, the buttons, the summary, the timeline; then parcel, contacts, calls and events."""
    post_webhook(event(booked, "accepted"))
    Delivery.objects.update(attention="order_edited")
    page = page_of(staff(*VIEWS, *ACTS, "view_personal_data"))
    buttons, summary = page.index('class="kd-actions"'), page.index('class="kd-facts"')
    assert page.index('class="kd-problem') < buttons < summary < page.index('class="kd-timeline"')
    shown = HEADING.findall(page)
    assert shown[shown.index("The order was edited after it was booked") :] == [
        "The order was edited after it was booked",
        "Summary",
        "Timeline",
        "Dropoff",
        "Parcel",
        "Pickup",
        "Record",
        "Calls",
        "Webhook events",
    ]


def test_what_is_empty_is_not_shown(staff, due):
    """Nothing was sent: there is no history, no contact, no parcel, no event, no page of Kaspi's."""
    page = page_of(staff(*VIEWS, "view_personal_data"))
    assert not {"Timeline", "Dropoff", "Parcel", "Pickup", "Webhook events"} & set(HEADING.findall(page))
    assert {"Record", "Calls"} <= set(HEADING.findall(page))
    assert "Kaspi's page" not in page
    assert "Cancel reason" not in page


def test_a_value_of_zero_is_shown(staff, booked):
    """A gift has no value, which is known."""
    Delivery.objects.update(parcel_value_kzt=0)
    assert "Declared value, tenge" in page_of(staff("view_personal_data"))


def test_what_is_dangerous_looks_so_and_comes_last(staff, booked):
    """No hand falls on it by itself."""
    found = re.findall(r'<a class="(kd-button[^"]*)" href="[^"]*/do/(\w+)/"', page_of(staff(*ACTS)))
    assert found == [("kd-button", "refresh"), ("kd-button kd-danger", "cancel")]


def test_after_a_refusal_the_advised_action_is_first(staff, refused):
    """Kaspi has nothing, so that no second courier can come of it."""
    found = re.findall(r'<a class="(kd-button[^"]*)" href="[^"]*/do/(\w+)/"', page_of(staff(*ACTS)))
    assert found[0] == ("kd-button", "reissue")
    assert found[-1] == ("kd-button kd-danger", "cancel")


def test_the_shops_number_is_the_title(staff, booked):
    """Then the external order ID; a number that may be personal only for those who can see such data."""
    Delivery.objects.update(order_label="2026-00019", label_is_personal=True)
    assert f"<title>2026-00019 ({booked}) | " in page_of(staff("view_personal_data"))
    assert f"<title>{booked} | " in page_of(staff())


def test_the_timeline_begins_with_the_newest(staff, booked):
    """A late update is marked, and so is one that the shop has not heard of."""
    StatusChange.objects.all().delete()
    add(booked, "in_transit", minutes=9, notified_at=NOON)
    add(booked, "accepted", minutes=3, applied=False)
    add(booked, "created", minutes=1)
    timeline = page_of(staff("view_statuschange")).partition('class="kd-timeline"')[2].partition("</ol>")[0]
    steps = [" ".join(re.sub(r"<[^>]+>", " ", step).split()) for step in timeline.split("<li>")[1:]]
    assert [word for step in steps for word in ("In transit", "Accepted", "Created") if word in step] == [
        "In transit",
        "Accepted",
        "Created",
    ]
    assert ["late, not applied" in step for step in steps] == [False, True, False]
    assert ["not notified yet" in step for step in steps] == [False, False, True]


def test_the_timeline_needs_its_permission(staff, booked):
    """As the list of status changes does."""
    assert "kd-timeline" not in page_of(staff())


def test_a_reason_is_masked(staff, booked, drain):
    """In the summary, in the timeline, and wherever else it is."""
    cancel_delivery(booked, reason=f"call {PHONE}")
    drain()
    assert page_of(staff(*VIEWS, "view_personal_data")).count(PHONE) >= 2
    masked = page_of(staff(*VIEWS))
    assert PHONE not in masked
    assert "•••" in masked


def test_ids_and_links_are_copied(staff, booked):
    """The order's name, both ids, the page that the customer sees, with its host, and Kaspi's."""
    page = page_of(staff("view_personal_data"))
    copied = re.findall(r'data-kd-copy="([^"]*)"', page)
    own = f"http://testserver{tracking_path(booked)}"
    assert copied == [booked.order_label, booked.external_order_id, booked.delivery_id, own, booked.tracking_url]
    assert f'href="{own}"' in page


def test_a_page_that_the_customer_cannot_open_is_not_linked(staff, booked):
    """Where the project does not include our addresses, and once the data is anonymized."""
    with override_settings(ROOT_URLCONF=__name__):
        assert "Link for the customer" not in page_of(staff())
    assert "Link for the customer" in page_of(staff())
    Delivery.objects.update(blanked_at=NOON)
    assert "Link for the customer" not in page_of(staff())


def test_the_page_asks_the_same_for_many_rows_as_for_one(staff, refused, turnable):
    """Of calls, attempts, events and status changes."""
    client = staff(*VIEWS, *ACTS, "view_personal_data")
    call, known = ApiCall.objects.get(), {"account": "default", "environment": "sandbox"}

    def fill(number):
        ApiCall.objects.create(delivery=refused, kind="refresh", idempotency_key=f"{number}", queued_at=NOON)
        FailedAttempt.objects.create(call=call, kind="create", at=NOON, error="no answer")
        WebhookEvent.objects.create(**known, event_id=f"{number}", delivery=refused, received_at=NOON)
        add(refused, "created", minutes=number)

    fill(0)
    page_of(client)
    with CaptureQueriesContext(connection) as one:
        page_of(client)
    for number in range(1, 6):
        fill(number)
    with CaptureQueriesContext(connection) as several:
        page_of(client)
    assert len(several) == len(one)
    assert len(one) <= 16


def test_a_delivery_that_is_booked_later_says_when(staff, due, drain, monkeypatch, turnable):
    """On its page and in the list; and staff who may retry can send it now."""
    opens = turnable.now + timedelta(hours=9)
    monkeypatch.setattr(adapters.OrderAdapter, "not_before", lambda _self, _order: opens)
    drain()
    client = staff(*ACTS)
    words = f"to be booked from {display.moment(opens)}"
    assert words in page_of(client)
    assert words in client.get("/admin/kaspi_delivery/delivery/").content.decode()
    page = client.get(f"/admin/kaspi_delivery/delivery/{due.delivery_id}/do/send_early/").content.decode()
    assert "The shop wants it to be booked later. It is booked at once: a courier comes." in page
    again = client.post(f"/admin/kaspi_delivery/delivery/{due.delivery_id}/do/send_early/", {"question": "another one"})
    assert "It has changed meanwhile: read what is asked now." in again.content.decode()
    assert Delivery.objects.get().is_postponed
    asked = dict(re.findall(r'name="(question)" value="(\w+)"', again.content.decode()))
    client.post(f"/admin/kaspi_delivery/delivery/{due.delivery_id}/do/send_early/", asked)
    drain()
    assert Delivery.objects.get().status == "created"
    assert "to be booked from" not in page_of(client)
