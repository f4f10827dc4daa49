"""The tracking of a delivery for its customer, and the tokens of its links."""

from functools import partial
from uuid import uuid4

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core import signing

from kaspi_delivery_django.exceptions import NoAdapter
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import acknowledge_delivery, cancel_delivery, reissue_delivery, request_delivery
from kaspi_delivery_django.services.maintenance.pruning import PERSONAL
from kaspi_delivery_django.tracking import (
    MAX_STEPS,
    delivery_for,
    delivery_of,
    token_of,
    track,
    tracking_for,
    tracking_path,
)
from tests import tracked
from tests.conftest import NOON
from tests.shop.models import Note, Order

pytestmark = pytest.mark.django_db

WAY = ["created", "accepted", "in_transit", "out_for_delivery", "delivered"]
ARRANGING = "We are arranging your delivery"


@pytest.fixture
def stand(booked):
    """Give the booked delivery a status and a history of (status, minutes after noon, applied)."""
    return partial(tracked.stand, booked)


def test_a_token_opens_its_own_delivery(booked):
    """It is the same every time, and whatever key the order has."""
    request_delivery(Order.objects.create())
    token = token_of(booked)
    assert (delivery_for(token), token_of(Delivery.objects.get(pk=booked.pk))) == (booked, token)
    Delivery.objects.filter(pk=booked.pk).update(object_id=str(uuid4()))
    assert delivery_for(token) == booked


def test_a_changed_token_opens_nothing(booked):
    """Whichever character is changed or added, and what the shop signs for other purposes."""
    token = token_of(booked)
    for place, sign in enumerate(token):
        other = "a" if sign != "a" else "b"
        assert delivery_for(token[:place] + other + token[place + 1 :]) is None
    assert delivery_for(f"{token}a") is None
    for signer in (signing.Signer(sep="."), signing.Signer(sep=".", salt="shop.Order")):
        assert delivery_for(signer.sign(str(booked.pk))) is None


def test_an_unsigned_token_causes_no_query(django_assert_num_queries):
    """Nor does that of an unsaved delivery."""
    unsigned = ["", ".", "1", "1.", f"1.{'a' * 43}", "\x00", "é.ю", "1" * 5000, "../../admin"]
    with django_assert_num_queries(0):
        assert {delivery_for(token) for token in (*unsigned, token_of(Delivery()))} == {None}


def test_tokens_outlive_a_rotation_of_the_secret_key(booked, settings):
    """By SECRET_KEY_FALLBACKS."""
    token, old = token_of(booked), settings.SECRET_KEY
    settings.SECRET_KEY = "another one"
    assert delivery_for(token) is None
    settings.SECRET_KEY_FALLBACKS = [old]
    assert delivery_for(token) == booked
    assert token_of(booked) != token


def test_the_link_follows_to_the_rebooked_delivery(booked):
    """Unless Kaspi turns out to ship the first one after all."""
    token = token_of(booked)
    Delivery.objects.filter(pk=booked.pk).update(status="cancelled")
    following = reissue_delivery(Delivery.objects.get(pk=booked.pk))
    assert delivery_for(token) == delivery_of(booked.order) == following
    assert track(booked).status == ""
    Delivery.objects.filter(pk=booked.pk).update(status="in_transit")
    assert delivery_for(token_of(following)) == booked


@pytest.mark.parametrize("other", ["environment", "content_type"])
def test_the_same_key_elsewhere_is_another_order(booked, other):
    """In Kaspi's sandbox, or in another table; the shop's order has the delivery of the newest environment."""
    columns = {name: getattr(booked, name) for name in ("account", "environment", "content_type", "object_id")}
    note = ContentType.objects.get_for_model(Note)
    columns[other] = "production" if other == "environment" else note
    second = Delivery.objects.create(**columns, generation=2, delivery_id="dlv_2")
    assert delivery_for(token_of(booked)) == booked
    assert delivery_of(booked.order) == (second if other == "environment" else booked)


def test_the_delivery_of_an_order(booked):
    """None before it is requested; a model without an adapter is an error."""
    assert delivery_of(booked.order) == booked
    assert delivery_of(Order.objects.create(paid=False)) is None
    with pytest.raises(NoAdapter):
        delivery_of(Note.objects.create())


def test_before_the_booking_it_is_being_arranged(due):
    """Also without a delivery; all steps are to come."""
    nothing, tracking = track(None), track(due.delivery)
    assert (nothing.label, nothing.steps, nothing.is_final) == (ARRANGING, (), False)
    assert tracking.label == ARRANGING
    assert [step.status for step in tracking.steps] == WAY
    assert {(step.at, step.is_current, step.is_late) for step in tracking.steps} == {(None, False, False)}


@pytest.mark.parametrize("status", WAY)
def test_the_timeline_ends_with_the_steps_to_come(stand, status):
    """The status is the current step; those after it have no time."""
    reached = WAY[: WAY.index(status) + 1]
    tracking = track(stand(status, *((word, number, True) for number, word in enumerate(reached))))
    assert [step.status for step in tracking.steps] == WAY
    assert [step.status for step in tracking.steps if step.is_current] == [status]
    assert [step.status for step in tracking.steps if not step.at] == WAY[len(reached) :]
    assert tracking.is_final is (status == "delivered")


LONG = [(f"word_{number}", number, True) for number in range(59)]


@pytest.mark.parametrize(
    ("status", "history", "expected"),
    [
        ("in_transit", [], [("in_transit", False, True)]),
        (
            "in_transit",  # a late step stands where it happened, and is marked
            [("created", 0, True), ("in_transit", 9, True), ("accepted", 5, False)],
            [("created", False, False), ("accepted", True, False), ("in_transit", False, True)],
        ),
        (
            "in_transit",  # Kaspi's times are whole seconds: the usual order decides
            [("in_transit", 0, True), ("created", 0, True), ("accepted", 0, False)],
            [("created", False, False), ("accepted", True, False), ("in_transit", False, True)],
        ),
        ("cancelled", [("cancelled", 0, True), ("delivered", 1, False)], [("cancelled", False, True)]),
        ("in_transit", [("in_transit", 0, True), ("cancelled", 1, False)], [("in_transit", False, True)]),
        ("x", [("x", 0, True), ("y", 1, False)], [("x", False, True)]),
        (
            "accepted",  # Kaspi corrected it backwards
            [("accepted", 0, True), ("in_transit", 1, True), ("accepted", 2, True)],
            [("accepted", False, False), ("in_transit", False, False), ("accepted", False, True)],
        ),
        (
            "accepted",
            [*LONG, ("accepted", 59, True)],
            [*((word, False, False) for word, *_ in LONG[-49:]), ("accepted", False, True)],
        ),
    ],
)
def test_the_steps_of_a_history(stand, status, history, expected):
    """In the order of Kaspi's times, the latest fifty; a contradiction is not shown until Kaspi confirms it."""
    steps = track(stand(status, *history)).steps
    assert [(step.status, step.is_late, step.is_current) for step in steps if step.at] == expected


def test_a_missing_step_is_left_out(stand):
    """It is neither reached nor to come."""
    tracking = track(stand("in_transit", ("created", 0, True), ("in_transit", 9, True)))
    assert [step.status for step in tracking.steps] == ["created", "in_transit", "out_for_delivery", "delivered"]


@pytest.mark.parametrize(
    ("status", "labels", "explanation"),
    [
        ("returned", ["Created", "returned"], ""),
        ("cancelled", ["Created", "Cancelled"], "This parcel will not be delivered."),
    ],
)
def test_an_unknown_or_cancelled_delivery_has_no_steps_to_come(stand, status, labels, explanation):
    """A status that is new to us is shown as it is."""
    tracking = track(stand(status, ("created", 0, True), (status, 1, True)))
    assert [step.label for step in tracking.steps] == labels
    assert (tracking.label, tracking.explanation) == (labels[-1], explanation)
    assert tracking.is_final is (status == "cancelled")


@pytest.mark.parametrize(("status", "is_shown"), [("accepted", True), ("in_transit", False), ("cancelled", False)])
def test_a_requested_cancel_is_shown(stand, status, is_shown):
    """Until Kaspi confirms it, or the courier has the parcel."""
    tracking = track(stand(status, (status, 0, True), cancel_requested_at=NOON))
    assert tracking.is_being_cancelled is is_shown
    assert (tracking.label == "Your delivery is being cancelled") is is_shown
    assert (tracking.explanation == "") is is_shown
    assert (status == "in_transit") is bool([step for step in tracking.steps if not step.at])


def test_a_delivery_that_was_cancelled_before_it_was_sent(due):
    """It has one step."""
    tracking = track(cancel_delivery(due.delivery))
    assert (tracking.status, tracking.label, tracking.is_final) == ("cancelled", "Cancelled", True)
    assert [step.status for step in tracking.steps] == ["cancelled"]


def test_an_acknowledged_refusal_is_not_cancelled(due, client):
    """The order is still to be shipped: its page shows no steps, and follows to the next booking."""
    ApiCall.objects.update(state="refused", reason="refused")
    Delivery.objects.update(attention="refused")
    tracking, path = track(acknowledge_delivery(due.delivery)), tracking_path(due.delivery)
    assert (tracking.status, tracking.label, tracking.explanation) == ("", ARRANGING, "")
    assert (tracking.is_final, tracking.is_being_cancelled, tracking.steps) == (False, False, ())
    page = client.get(path).content.decode()
    assert ("Cancelled" in page, "data-kaspi-source" in page) == (False, True)
    second = reissue_delivery(due.delivery)
    Delivery.objects.filter(pk=second.pk).update(status="accepted", delivery_id="dlv_2")
    assert "A courier is on the way to the shop." in client.get(path).content.decode()


def test_a_delivery_is_overdue_after_its_time(stand, fake_clock):
    """Until it is delivered."""
    delivery = stand("in_transit", delivery_by=NOON)
    fake_clock.now = NOON
    assert not track(delivery).is_overdue
    fake_clock.advance(seconds=1)
    assert track(delivery).is_overdue
    assert not track(stand("delivered", delivery_by=NOON)).is_overdue


@pytest.mark.parametrize(
    ("url", "is_linked"),
    [
        ("https://track.kaspi.kz/1", True),
        ("http://track.kaspi.kz/1", False),
        ("https://kaspi.example/1", False),
        ("ht\ntps://track.kaspi.kz/1", False),
        ("https://track.kaspi.kz/\u202e1", False),
    ],
)
def test_only_kaspis_own_page_is_linked(stand, url, is_linked):
    """https, and a host in TRACKING_HOSTS."""
    assert track(stand("created", tracking_url=url)).url == (url if is_linked else "")


def test_a_token_costs_three_queries(due, django_assert_num_queries):
    """However long the history is; no personal column of a booked delivery is read."""
    for minutes in range(60):
        tracked.add(due.delivery, "created", minutes=minutes)
    for status in ("", "delivered"):
        Delivery.objects.filter(pk=due.delivery_id).update(status=status)
        with django_assert_num_queries(3) as captured:
            assert tracking_for(token_of(due.delivery))
    sql = "".join(query["sql"] for query in captured)
    assert "object_id" in sql
    private = (*PERSONAL, "note", "payload", "parcel_value_kzt", "attention", "error_message")
    assert [column for column in private if f'{column}"' in sql or f"{column}`" in sql] == []
    assert len(track(due.delivery).steps) <= MAX_STEPS + len(WAY)


def test_a_delivery_without_its_rows(stand, client):
    """One that was just deleted is tracked as it was read, and one without a call has a page."""
    delivery = stand("created")
    delivery.calls.all().delete()
    assert client.get(tracking_path(delivery)).status_code == 200
    Delivery.objects.all().delete()
    assert track(delivery).status == "created"
