"""What a customer sees of a delivery, and which tokens lead to it."""

from functools import partial
from uuid import uuid4

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core import signing
from django.db import connection
from django.test.utils import CaptureQueriesContext

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


@pytest.fixture
def stand(booked):
    """Let the booked delivery stand somewhere, with a history of (status, minutes after noon, applied)."""
    return partial(tracked.stand, booked)


def renew(delivery):
    """Cancel a booked delivery for good, and book the order anew; return the new delivery."""
    Delivery.objects.filter(pk=delivery.pk).update(status="cancelled")
    return reissue_delivery(Delivery.objects.get(pk=delivery.pk))


def words(delivery):
    """Return the statuses of the timeline."""
    return [step.status for step in track(delivery).steps]


def marks(delivery):
    """Return the timeline as (status, is_late, is_current), what is to come left out."""
    return [(step.status, step.is_late, step.is_current) for step in track(delivery).steps if step.at]


def test_a_token_leads_to_its_delivery(booked):
    """And only to that one's order."""
    request_delivery(Order.objects.create())
    assert delivery_for(token_of(booked)) == booked


def test_a_token_is_the_same_every_time(booked):
    """A link in an old message and one in a new are the same page."""
    assert token_of(booked) == token_of(Delivery.objects.get())


def test_a_tampered_token_leads_nowhere(booked):
    """Whichever of its signs is another, and whatever is added."""
    token = token_of(booked)
    for place, sign in enumerate(token):
        other = "a" if sign != "a" else "b"
        assert delivery_for(token[:place] + other + token[place + 1 :]) is None
    assert delivery_for(f"{token}a") is None


@pytest.mark.parametrize("token", ["", ".", "1", "1.", f"1.{'a' * 43}", "\x00", "é.ю", "1" * 5000, "../../admin"])
def test_what_nobody_signed_leads_nowhere_and_asks_nobody(booked, token, django_assert_num_queries):
    """The database does not hear of it."""
    with django_assert_num_queries(0):
        assert delivery_for(token) is None


def test_a_token_of_another_salt_leads_nowhere(booked):
    """What the shop signs for something else is no key here."""
    assert delivery_for(signing.Signer(sep=".").sign(str(booked.pk))) is None
    assert delivery_for(signing.Signer(sep=".", salt="shop.Order").sign(str(booked.pk))) is None


def test_a_token_of_an_unsaved_delivery_leads_nowhere():
    """It names no row."""
    assert delivery_for(token_of(Delivery())) is None


def test_tokens_outlive_a_rotation_of_the_secret_key(booked, settings):
    """The old key signs no more, and still opens."""
    token, old = token_of(booked), settings.SECRET_KEY
    settings.SECRET_KEY = "another one"
    assert delivery_for(token) is None
    settings.SECRET_KEY_FALLBACKS = [old]
    assert delivery_for(token) == booked
    assert token_of(booked) != token


def test_a_token_of_a_row_that_is_gone_leads_nowhere(booked):
    """It was right once."""
    token = token_of(booked)
    ApiCall.objects.all().delete()
    booked.delete()
    assert delivery_for(token) is None


def test_a_token_ends_with_the_personal_data(booked):
    """Thirty days after the end, as a rule, the link leads nowhere."""
    token = token_of(booked)
    Delivery.objects.update(blanked_at=NOON)
    assert delivery_for(token) is None
    assert tracking_for(token) is None


def test_the_customers_link_follows_to_the_next_delivery(booked):
    """Staff book anew: the page is the new parcel's."""
    token = token_of(booked)
    following = renew(booked)
    assert following.generation == 2
    assert delivery_for(token) == following
    assert track(booked).status == ""


def test_a_parcel_is_shown_before_a_later_delivery_that_is_none(booked):
    """Kaspi turned out to have the first one after all: that is what the customer waits for."""
    following = renew(booked)
    Delivery.objects.filter(pk=booked.pk).update(status="in_transit")
    assert delivery_for(token_of(following)) == booked


def test_an_order_of_another_environment_is_another_order(booked):
    """What was tried in Kaspi's sandbox never covers what is shipped."""
    Delivery.objects.create(
        account=booked.account,
        environment="production",
        content_type=booked.content_type,
        object_id=booked.object_id,
        generation=2,
        delivery_id="dlv_2",
    )
    assert delivery_for(token_of(booked)) == booked


def test_an_order_of_another_model_is_another_order(booked):
    """The same number in another table is nobody's."""
    other = ContentType.objects.get_for_model(Note)
    Delivery.objects.create(
        account=booked.account,
        environment=booked.environment,
        content_type=other,
        object_id=booked.object_id,
        generation=2,
        delivery_id="dlv_2",
    )
    assert delivery_for(token_of(booked)) == booked


def test_the_delivery_of_an_order_is_found(booked):
    """The newest, as the link leads to; none before one is intended."""
    assert delivery_of(booked.order) == booked
    assert delivery_of(Order.objects.create(paid=False)) is None
    assert delivery_of(booked.order) == booked
    following = renew(booked)
    assert delivery_of(booked.order) == following


def test_the_delivery_of_an_order_is_that_of_the_newest_environment(booked):
    """A shop that goes live with an order which it tried in Kaspi's sandbox shows what is shipped."""
    known = {name: getattr(booked, name) for name in ("account", "content_type", "object_id")}
    live = Delivery.objects.create(**known, environment="production", delivery_id="dlv_2")
    assert delivery_of(booked.order) == live


def test_only_orders_have_deliveries():
    """A model that no adapter is for is an error of the caller's."""
    with pytest.raises(NoAdapter):
        delivery_of(Note.objects.create())


def test_without_a_delivery_it_is_being_arranged():
    """The customer reads that, and not an error."""
    tracking = track(None)
    assert (tracking.label, tracking.steps, tracking.is_final) == ("We are arranging your delivery", (), False)


def test_before_the_booking_it_is_being_arranged(due):
    """All the steps are still to come."""
    tracking = track(due.delivery)
    assert tracking.label == "We are arranging your delivery"
    assert [step.status for step in tracking.steps] == WAY
    assert {(step.at, step.is_current, step.is_late) for step in tracking.steps} == {(None, False, False)}


@pytest.mark.parametrize("status", WAY)
def test_the_steps_end_with_what_is_still_to_come(stand, status):
    """The status is the current step; those after it have no time."""
    delivery = stand(status, *((word, number, True) for number, word in enumerate(WAY[: WAY.index(status) + 1])))
    tracking = track(delivery)
    assert [step.status for step in tracking.steps] == WAY
    assert [step.status for step in tracking.steps if step.is_current] == [status]
    assert [step.status for step in tracking.steps if not step.at] == WAY[WAY.index(status) + 1 :]
    assert tracking.is_final is (status == "delivered")


def test_a_step_that_nobody_told_of_is_left_out(stand):
    """It is neither taken nor still to come."""
    assert words(stand("in_transit", ("created", 0, True), ("in_transit", 9, True))) == [
        "created",
        "in_transit",
        "out_for_delivery",
        "delivered",
    ]


def test_late_news_stands_where_it_happened(stand):
    """In the order of Kaspi's times, and marked."""
    delivery = stand("in_transit", ("created", 0, True), ("in_transit", 9, True), ("accepted", 5, False))
    assert marks(delivery) == [("created", False, False), ("accepted", True, False), ("in_transit", False, True)]


def test_steps_of_one_second_stand_in_the_usual_order(stand):
    """Kaspi's stamps are whole seconds: the route decides."""
    delivery = stand("in_transit", ("in_transit", 0, True), ("created", 0, True), ("accepted", 0, False))
    assert [status for status, *_ in marks(delivery)] == ["created", "accepted", "in_transit"]


@pytest.mark.parametrize(("status", "late"), [("cancelled", "delivered"), ("in_transit", "cancelled"), ("x", "y")])
def test_news_that_contradicts_is_not_told(stand, status, late):
    """Until Kaspi has confirmed it, the customer is told of one end at most, and of no word that did not count."""
    assert marks(stand(status, (status, 0, True), (late, 1, False))) == [(status, False, True)]


def test_a_status_that_came_back_is_current_once(stand):
    """Kaspi's own word went back: the last of its steps counts."""
    delivery = stand("accepted", ("accepted", 0, True), ("in_transit", 1, True), ("accepted", 2, True))
    assert marks(delivery) == [("accepted", False, False), ("in_transit", False, False), ("accepted", False, True)]


def test_of_a_long_history_the_latest_steps_are_shown(stand):
    """Fifty of them."""
    delivery = stand("accepted", *((f"word_{number}", number, True) for number in range(59)), ("accepted", 59, True))
    shown = [status for status, *_ in marks(delivery)]
    assert (len(shown), shown[0], shown[-1]) == (50, "word_10", "accepted")


def test_a_status_without_a_history_is_a_step(stand):
    """What is known is shown."""
    [step] = [step for step in track(stand("in_transit")).steps if step.at]
    assert (step.status, step.at, step.is_current) == ("in_transit", NOON, True)


def test_a_word_that_is_new_to_us_is_shown_as_it_came(stand):
    """Nobody knows what follows it."""
    tracking = track(stand("returned", ("created", 0, True), ("returned", 1, True)))
    assert [step.label for step in tracking.steps] == ["Created", "returned"]
    assert (tracking.label, tracking.explanation, tracking.is_final) == ("returned", "", False)


def test_a_cancelled_delivery_has_nothing_to_come(stand):
    """It is the end."""
    tracking = track(stand("cancelled", ("created", 0, True), ("cancelled", 1, True)))
    assert [step.status for step in tracking.steps] == ["created", "cancelled"]
    assert (tracking.label, tracking.is_final) == ("Cancelled", True)


@pytest.mark.parametrize(("status", "is_shown"), [("accepted", True), ("in_transit", False), ("cancelled", False)])
def test_a_cancel_under_way_is_told(stand, status, is_shown):
    """Until Kaspi confirms it, or the courier has the parcel."""
    tracking = track(stand(status, (status, 0, True), cancel_requested_at=NOON))
    assert tracking.is_being_cancelled is is_shown
    assert (tracking.label == "Your delivery is being cancelled") is is_shown
    assert (tracking.explanation == "") is is_shown
    assert (status == "in_transit") is bool([step for step in tracking.steps if not step.at])


def test_a_delivery_that_was_taken_back_before_it_was_sent_is_cancelled(due):
    """Kaspi never heard of it, and will not."""
    tracking = track(cancel_delivery(due.delivery))
    assert (tracking.status, tracking.label, tracking.is_final) == ("cancelled", "Cancelled", True)
    assert [step.status for step in tracking.steps] == ["cancelled"]
    assert tracking.explanation == "This parcel will not be delivered."


def give_up(delivery):
    """Have Kaspi refuse the booking, and staff acknowledge that."""
    ApiCall.objects.update(state="refused", reason="refused")
    Delivery.objects.update(attention="refused")
    return acknowledge_delivery(delivery)


def test_a_delivery_that_was_given_up_is_not_cancelled(due):
    """The order is still to be shipped: the customer reads of no cancel, and of no step that will not come."""
    tracking = track(give_up(due.delivery))
    assert (tracking.status, tracking.label, tracking.explanation) == ("", "We are arranging your delivery", "")
    assert (tracking.is_final, tracking.is_being_cancelled, tracking.steps) == (False, False, ())


def test_the_page_of_what_was_given_up_follows_to_the_next_booking(due, client):
    """It goes on looking for news, which come when staff rebook the order."""
    path = tracking_path(give_up(due.delivery))
    page = client.get(path).content.decode()
    assert "Cancelled" not in page
    assert "data-kaspi-source" in page
    second = reissue_delivery(due.delivery)
    Delivery.objects.filter(pk=second.pk).update(status="accepted", delivery_id="dlv_2")
    assert "A courier is on the way to the shop." in client.get(path).content.decode()


def test_a_delivery_is_overdue_after_its_time(stand, turnable):
    """Kaspi's promise is over, and the parcel is not there."""
    delivery = stand("in_transit", delivery_by=NOON)
    turnable.now = NOON
    assert not track(delivery).is_overdue
    turnable.turn(seconds=1)
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
def test_kaspis_page_is_linked_only_if_it_is_kaspis(stand, url, is_linked):
    """https, and a host in TRACKING_HOSTS."""
    assert track(stand("created", tracking_url=url)).url == (url if is_linked else "")


def test_without_our_addresses_there_is_no_path(booked, settings):
    """A shop that shows the timeline on its own pages alone need not include them."""
    assert track(booked).path == f"/kaspi/track/{token_of(booked)}/"
    settings.ROOT_URLCONF = "example_project.shop.urls"
    assert track(booked).path == ""


@pytest.mark.parametrize("status", ["", "created", "delivered"])
def test_a_token_costs_three_queries(due, status, django_assert_num_queries):
    """However long the history, and however often the order was booked."""
    for number in range(1, 4):
        Delivery.objects.filter(pk=due.delivery_id).update(status=status)
        for minutes in range(number * 20):
            tracked.add(due.delivery, "created", minutes=minutes)
        with django_assert_num_queries(3):
            tracking_for(token_of(due.delivery))
    assert len(track(due.delivery).steps) <= MAX_STEPS + len(WAY)


def test_nothing_personal_is_read(booked):
    """What is not read from the table cannot be shown by accident."""
    with CaptureQueriesContext(connection) as asked:
        assert tracking_for(token_of(booked))
    sql = "".join(query["sql"] for query in asked)
    assert "object_id" in sql
    private = (*PERSONAL, "note", "payload", "parcel_value_kzt", "attention", "error_message")
    assert [column for column in private if f'{column}"' in sql or f"{column}`" in sql] == []


def test_an_order_may_have_any_key(booked):
    """A shop's keys need not be numbers."""
    Delivery.objects.update(object_id=str(uuid4()))
    assert delivery_for(token_of(booked)) == booked


def test_a_delivery_that_was_deleted_meanwhile_is_shown_as_it_was(stand):
    """A page that has read it already need not break."""
    delivery = stand("created")
    Delivery.objects.all().delete()
    assert track(delivery).status == "created"


@pytest.mark.django_db
def test_a_delivery_without_a_call_has_a_page(client):
    """As one from a fixture."""
    order = Order.objects.create()
    delivery = Delivery.objects.get(object_id=str(order.pk))
    delivery.calls.all().delete()
    assert client.get(tracking_path(delivery)).status_code == 200
