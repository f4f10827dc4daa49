"""A delivery's page from top to bottom: what is wrong, what can be done, the timeline, and what else is known."""

import re

import pytest
from django.contrib import admin
from django.test import override_settings
from django.urls import path
from django.utils.html import escape

from kaspi_delivery_django.admin import display, explanations
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, FailedAttempt, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery, refresh_delivery
from kaspi_delivery_django.tracking import tracking_path
from tests.admin.conftest import LIST, VIEWS, change_page, plain, statements_of
from tests.conftest import NOON, event
from tests.shop import adapters
from tests.tracked import add

urlpatterns = [path("admin/", admin.site.urls)]  # a project without our own addresses
pytestmark = pytest.mark.django_db(transaction=True)

ACTS = ("cancel_delivery", "retry_delivery", "reissue_delivery")
PHONE = "701 555 00 42"
REFUSAL = f'{{"code": "invalid_phone", "message": "no courier calls {PHONE}"}}'.encode()
HEADING = re.compile(r"<h2[^>]*>\s*(?:<[^>]*>!</span>)?\s*([^<]+?)\s*</h2>")
BUTTON = re.compile(r'<a class="(kd-button[^"]*)" href="[^"]*/do/(\w+)/"')


def page_of(client):
    """Return the page of the only delivery as text."""
    return change_page(client, Delivery.objects.get())


def problem_of(page):
    """Return the panel that says what is wrong, without its markup."""
    found = re.search(r'<section class="kd-problem.*?</section>', page, re.DOTALL)
    return plain(found[0]) if found else ""


@pytest.fixture
def fail(due, kaspi, drain):
    """Let Kaspi fail the booking with this status."""

    def with_status(status, **fault):
        kaspi.faults.add(Fault(operation="create", status=status, times=None, **fault))
        drain()

    return with_status


# What is wrong


def test_kaspis_refusal_stands_beside_the_advice(staff, fail):
    """Its code and message, which request, and the id for Kaspi's support; the dangerous action comes last."""
    fail(422, body=REFUSAL)
    page = page_of(staff("view_personal_data", *ACTS))
    problem = problem_of(page)
    assert problem.startswith("! Kaspi refused the request")
    assert "then rebook it" in problem
    assert "422 invalid_phone Kaspi does not accept the data of the request. " in problem
    assert f"no courier calls {PHONE}" in problem
    assert "create, " in problem
    assert ApiCall.objects.get().request_id in problem
    buttons = BUTTON.findall(page)
    assert (buttons[0], buttons[-1]) == (("kd-button", "reissue"), ("kd-button kd-danger", "cancel"))
    FailedAttempt.objects.all().delete()  # as they are after a while
    assert f"no courier calls {PHONE}" in problem_of(page_of(staff("view_personal_data")))


def test_kaspis_message_may_be_personal(staff, fail):
    """Without the permission the code is there, and the message nowhere on the page."""
    fail(422, body=REFUSAL)
    page = page_of(staff(*VIEWS))
    assert "422 invalid_phone" in problem_of(page)
    assert "shown only to people who may see personal data" in problem_of(page)
    assert PHONE not in page


@pytest.mark.parametrize(
    ("status", "words", "advice", "is_urgent"),
    [
        (503, "503 internal_error Something is wrong at Kaspi", "the next attempt is automatic (03/01/2026", False),
        (401, "Kaspi does not accept our API key or address", "Have this corrected", True),
        (410, "Kaspi no longer serves this version of its API", "Have this corrected", True),
        (426, "Kaspi no longer serves this version of its API", "Have this corrected", True),
    ],
)
def test_a_failing_request_is_urgent_only_if_staff_can_help(staff, fail, status, words, advice, is_urgent):
    """Kaspi that is down is tried again; a refused key stops all the account's requests."""
    fail(status)
    page = page_of(staff())
    assert "A request to Kaspi fails" in problem_of(page)
    assert words in problem_of(page)
    assert advice in problem_of(page)
    assert ("kd-urgent" in page) is is_urgent


def test_an_adapter_that_failed_is_no_answer_of_kaspis(staff, due):
    """Its own words are shown, and no HTTP status."""
    ApiCall.objects.update(state="stuck", reason="adapter_failed", error_message="KeyError at kaspi.py:41")
    Delivery.objects.update(attention="adapter_failed")
    problem = problem_of(page_of(staff("view_personal_data")))
    assert "Error The shop's adapter failed. KeyError at kaspi.py:41" in problem
    assert "Kaspi's answer" not in problem


def test_an_old_refusal_explains_no_other_flag(staff, booked, kaspi, drain):
    """A refused cancel was acknowledged; then the order was edited."""
    kaspi.faults.add(Fault(operation="cancel", status=409))
    cancel_delivery(booked, reason="out of stock")
    drain()
    assert "It is already in transit, or has ended" in problem_of(page_of(staff()))
    Delivery.objects.update(attention="order_edited")
    problem = problem_of(page_of(staff()))
    assert "edited" in problem
    assert "409" not in problem


def test_an_edit_is_named_and_its_values_are_personal(staff, booked, drain):
    """Field by field, as it was booked and as it is now; other users read which fields."""
    order = booked.order
    order.address, order.phone = "Dostyk 240, Almaty", "+7 727 111 0042"
    order.save()
    refresh_delivery(booked)
    drain()
    problem = problem_of(page_of(staff("view_personal_data")))
    assert "What was changed Dropoff address: Abay 1, Almaty → Dostyk 240, Almaty" in problem
    assert "Dropoff phone: +7 727 111 0000 → +7 727 111 0042" in problem
    assert problem_of(page_of(staff())).endswith("What was changed Dropoff address Dropoff phone")


def test_a_second_parcel_is_named(staff, booked):
    """By Kaspi's id, which the call has; where nothing is wrong there is no panel."""
    assert problem_of(page_of(staff())) == explanations.explain_attention(booked) == ""
    ApiCall.objects.update(error_code="second_parcel", error_message="dlv_second")
    Delivery.objects.update(attention=Attention.SECOND_PARCEL)
    assert "dlv_second" in problem_of(page_of(staff("view_personal_data")))


def test_each_reason_has_advice(staff, booked):
    """The page says what to do."""
    client = staff()
    for reason in Attention.values:
        Delivery.objects.update(attention=reason)
        booked.refresh_from_db()
        advice = explanations.explain_attention(booked)
        assert advice
        assert escape(advice).replace("&#x27;", "'") in page_of(client)


def test_a_reused_key_may_be_of_a_sandbox_that_was_not_restarted():
    """Beside a new database; in production that cannot be."""
    advice = {
        name: explanations.explain_attention(Delivery(attention=Attention.KEY_REUSED, environment=name))
        for name in ("sandbox", "production")
    }
    assert ["restart the bundled sandbox" in advice[name] for name in advice] == [True, False]


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


# What is shown where


def test_the_page_goes_from_what_is_wrong_to_what_is_kept(staff, booked, post_webhook):
    """The problem, the buttons, the summary, the timeline; then parcel, contacts, calls and events."""
    post_webhook(event(booked, "accepted"))
    Delivery.objects.update(attention="order_edited")
    page = page_of(staff(*VIEWS, *ACTS, "view_personal_data"))
    buttons, summary = page.index('class="kd-actions"'), page.index('class="kd-facts"')
    assert page.index('class="kd-problem') < buttons < summary < page.index('class="kd-timeline"')
    assert f"create {booked.external_order_id}" in page
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
    assert "kd-timeline" not in page_of(staff())


def test_what_is_empty_is_not_shown(staff, due):
    """Nothing was sent: no history, contact, parcel, event or page of Kaspi's. A value of zero is shown."""
    client = staff(*VIEWS, "view_personal_data")
    page = page_of(client)
    assert not {"Timeline", "Dropoff", "Parcel", "Pickup", "Webhook events"} & set(HEADING.findall(page))
    assert {"Record", "Calls"} <= set(HEADING.findall(page))
    assert not [text for text in ("Kaspi's page", "Cancel reason", "Declared value, tenge") if text in page]
    Delivery.objects.update(parcel_value_kzt=0)
    assert "Declared value, tenge" in page_of(client)


def test_the_shops_number_is_the_title(staff, booked):
    """Then the external order ID; a number that may be personal only for users who can see such data."""
    Delivery.objects.update(order_label="2026-00019", label_is_personal=True)
    assert f"<title>2026-00019 ({booked}) | " in page_of(staff("view_personal_data"))
    assert f"<title>{booked} | " in page_of(staff())


def test_the_timeline_begins_with_the_newest(staff, booked):
    """A late update is marked, and so is one that the shop was not notified of."""
    StatusChange.objects.all().delete()
    add(booked, "in_transit", minutes=9, notified_at=NOON)
    add(booked, "accepted", minutes=3, applied=False)
    add(booked, "created", minutes=1)
    timeline = page_of(staff("view_statuschange")).partition('class="kd-timeline"')[2].partition("</ol>")[0]
    steps = [plain(step) for step in timeline.split("<li>")[1:]]
    names = ("In transit", "Accepted", "Created")
    assert [name in step for name, step in zip(names, steps, strict=True)] == [True, True, True]
    assert ["late, not applied" in step for step in steps] == [False, True, False]
    assert ["not notified yet" in step for step in steps] == [False, False, True]


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
    own = f"http://testserver{tracking_path(booked)}"
    texts = [booked.order_label, booked.external_order_id, booked.delivery_id, own, booked.tracking_url]
    assert re.findall(r'data-kd-copy="([^"]*)"', page) == texts
    assert f'href="{own}"' in page


UNSAFE = (
    "http://track.kaspi.kz/dlv_1",
    "https://track.kaspi.kz.example/dlv_1",
    "https://user@track.kaspi.kz/dlv_1",
    "javascript:alert(1)",
    "https://[",
)


def test_a_tracking_address_is_linked_only_where_it_is_safe(staff, booked):
    """https, and a host in TRACKING_HOSTS; others are shown as text."""
    for address in ("https://track.kaspi.kz/dlv_1", *UNSAFE):
        Delivery.objects.update(tracking_url=address)
        page, is_safe = page_of(staff()), address not in UNSAFE
        assert (f'href="{address}" rel="noopener noreferrer"' in page) is is_safe
        assert (f'href="{address}"' in page) is is_safe
        assert (f'data-kd-copy="{address}"' in page) is is_safe
        assert address in page


def test_a_page_that_the_customer_cannot_open_is_not_linked(staff, booked):
    """Where the project does not include our addresses, and once the data is anonymized."""
    with override_settings(ROOT_URLCONF=__name__):
        assert "Link for the customer" not in page_of(staff())
    assert "Link for the customer" in page_of(staff())
    Delivery.objects.update(blanked_at=NOON)
    assert "Link for the customer" not in page_of(staff())


def test_the_page_asks_the_same_for_many_rows_as_for_one(staff, booked):
    """Of calls, attempts, events and status changes."""
    client = staff(*VIEWS, *ACTS, "view_personal_data")
    call, known = ApiCall.objects.get(), {"account": "default", "environment": "sandbox"}

    def fill(number):
        ApiCall.objects.create(delivery=booked, kind="refresh", idempotency_key=f"{number}", queued_at=NOON)
        FailedAttempt.objects.create(call=call, kind="create", at=NOON, error="no answer")
        WebhookEvent.objects.create(**known, event_id=f"{number}", delivery=booked, received_at=NOON)
        add(booked, "created", minutes=number)

    fill(0)
    page_of(client)
    one = statements_of(lambda: page_of(client))
    for number in range(1, 6):
        fill(number)
    several = statements_of(lambda: page_of(client))
    assert len(several) == len(one) <= 16


def test_a_delivery_that_is_booked_later_says_when(staff, due, drain, monkeypatch):
    """On its page and in the list."""
    opens = NOON.replace(hour=21)
    monkeypatch.setattr(adapters.OrderAdapter, "not_before", lambda _self, _order: opens)
    drain()
    words = f"to be booked from {display.moment(opens)}"
    assert words in page_of(staff())
    assert words in staff().get(LIST).content.decode()
