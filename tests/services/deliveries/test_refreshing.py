"""Statuses that are new to us: asked about less and less, shown to staff once, ended by staff or by the settings."""

from datetime import timedelta
from itertools import pairwise

import pytest

from kaspi_delivery_django import services
from kaspi_delivery_django.exceptions import CannotCancel, CannotMarkFinal
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.deliveries import refreshing, rules
from kaspi_delivery_django.services.maintenance import pruning
from kaspi_delivery_django.signals import delivery_needs_attention, delivery_status_changed
from kaspi_delivery_django.tracking import track
from tests.conftest import NOON, event
from tests.services.conftest import fresh

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)


@pytest.fixture
def move(kaspi, drain, deliver_webhooks):
    """Let Kaspi give a delivery a status, and hear of it."""

    def run(delivery, status):
        kaspi.move(delivery.delivery_id, status)
        deliver_webhooks()
        drain()
        delivery.refresh_from_db()
        return delivery

    return run


@pytest.fixture
def pass_time(turnable, drain):
    """Let time go by, with a worker that does what is due; return when Kaspi was asked about the delivery."""

    def run(delivery, by):
        end, asked = turnable.now + by, []
        while (due := fresh(delivery).next_refresh_at) and due <= end:
            turnable.now = max(due, turnable.now)
            drain()
            asked.append(turnable.now)
        turnable.now = end
        delivery.refresh_from_db()
        return asked

    return run


@pytest.fixture
def returned(booked, move):
    """Return a delivery with a status of Kaspi's that is new to us."""
    delivery = move(booked, "returned")
    assert (delivery.status, delivery.attention) == ("returned", "")
    return delivery


@pytest.fixture
def flags():
    """Collect why staff were asked."""
    heard = []

    def hear(attention, **_rest):
        heard.append(attention)

    delivery_needs_attention.connect(hear)
    yield heard
    delivery_needs_attention.disconnect(hear)


def test_a_life_with_three_unknown_statuses_ends(booked, move, pass_time, turnable):
    """Cancellable at first, told to the shop, quiet at the end, its personal data removed."""
    told = []

    def hear(change, **_rest):
        told.append(change.to_status)

    delivery_status_changed.connect(hear)
    try:
        assert "cancel" in rules.allowed_actions(move(booked, "courier_assigned"), turnable.now)
        move(booked, "in_transit")
        move(booked, "at_the_depot")
        move(booked, "returned")
    finally:
        delivery_status_changed.disconnect(hear)
    assert told == ["courier_assigned", "in_transit", "at_the_depot", "returned"]
    pass_time(booked, 2 * DAY)
    assert booked.attention == Attention.UNKNOWN_STATUS
    services.mark_final(booked)
    assert pass_time(booked, 40 * DAY) == []
    assert sum(pruning.anonymize_personal_data(ended_before=turnable.now - 30 * DAY, batch=10)) == 1
    assert fresh(booked).dropoff_phone == ""


def test_kaspi_is_asked_less_and_less(returned, pass_time, turnable):
    """Twice as long each time, up to a day."""
    began = turnable.now
    asked = pass_time(returned, 10 * DAY)
    pauses = [after - before for before, after in pairwise([began, *asked])]
    assert pauses[:4] == [timedelta(minutes=30), timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2)]
    assert max(pauses) == DAY
    assert pauses[-1] == DAY
    assert len(asked) < 20


def test_a_known_status_is_asked_about_as_before(booked, pass_time):
    """Every REFRESH_AFTER."""
    assert len(pass_time(booked, DAY)) == 48


def test_a_longer_refresh_after_is_kept(returned, pass_time, settings):
    """A pause is never shorter than what the settings ask for."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "REFRESH_AFTER": 3 * DAY}
    pass_time(returned, DAY)
    asked = pass_time(returned, 20 * DAY)
    assert {after - before for before, after in pairwise(asked)} == {3 * DAY}


def test_staff_are_asked_once_after_a_day(returned, pass_time, flags, turnable):
    """At the day's end, not at the next long pause; acknowledged, it does not come back."""
    began = turnable.now
    pass_time(returned, DAY - timedelta(minutes=1))
    assert (returned.attention, flags) == ("", [])
    asked = pass_time(returned, timedelta(minutes=1))
    assert (returned.attention, asked) == (Attention.UNKNOWN_STATUS, [began + DAY])
    services.acknowledge_delivery(returned)
    pass_time(returned, 30 * DAY)
    assert (returned.attention, flags) == ("", ["unknown_status"])


def test_another_unknown_status_is_another_question(returned, move, pass_time, flags):
    """It is a new fact."""
    pass_time(returned, 2 * DAY)
    move(returned, "lost")
    assert returned.attention == ""
    pass_time(returned, 2 * DAY)
    assert flags == ["unknown_status", "unknown_status"]


def test_a_known_status_takes_it_off_the_list(returned, move, pass_time):
    """Nothing is left to ask."""
    pass_time(returned, 2 * DAY)
    move(returned, "delivered")
    assert (returned.status, returned.attention, returned.final_asked_at) == ("delivered", "", None)


def test_it_waits_behind_another_reason(returned, pass_time, flags):
    """What staff are asked already is not replaced."""
    Delivery.objects.update(attention="second_parcel")
    pass_time(returned, 3 * DAY)
    assert (returned.attention, flags) == ("second_parcel", [])
    Delivery.objects.update(attention="")
    pass_time(returned, 2 * DAY)
    assert flags == ["unknown_status"]


def test_what_is_marked_as_final_is_quiet(returned, pass_time, turnable, kaspi):
    """Kaspi is not asked, its customer reads that nothing more is to come, and it has no place on a list."""
    pass_time(returned, 2 * DAY)
    ended = services.mark_final(returned)
    assert (ended.final_at, ended.next_refresh_at, ended.attention) == (turnable.now, None, "")
    requests = len(kaspi.requests)
    pass_time(returned, 30 * DAY)
    assert len(kaspi.requests) == requests
    assert track(returned).is_final
    assert not Delivery.objects.in_unknown_status().exists()
    assert rules.allowed_actions(fresh(returned), turnable.now) == {"refresh"}


def test_what_waits_for_it_is_ended(returned, move, turnable):
    """A question that Kaspi never answered and a cancel must not hold its personal data for ever."""
    services.refresh_delivery(returned)
    services.cancel_delivery(returned)
    ApiCall.objects.filter(kind="refresh").update(state="stuck", reason="not_found", next_attempt_at=None)
    Delivery.objects.update(attention="not_found")
    services.mark_final(returned)
    assert not ApiCall.objects.filter(state__in=ApiCall.UNFINISHED).exists()
    assert fresh(returned).attention == ""


def test_a_second_parcel_stays_on_the_list(returned):
    """It is about another one."""
    Delivery.objects.update(attention="second_parcel")
    services.mark_final(returned)
    assert fresh(returned).attention == "second_parcel"


@pytest.mark.parametrize("status", ["", "created", "in_transit", "delivered", "cancelled"])
def test_a_known_status_cannot_be_marked_as_final(booked, status):
    """What it means is documented."""
    Delivery.objects.update(status=status)
    with pytest.raises(CannotMarkFinal, match="Only a status that is new"):
        services.mark_final(booked)


def test_it_is_marked_once(returned, settings):
    """By staff, or by the settings."""
    services.mark_final(returned)
    with pytest.raises(CannotMarkFinal, match="already"):
        services.mark_final(returned)
    Delivery.objects.update(final_at=None)
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "FINAL_STATUSES": ["returned"]}
    with pytest.raises(CannotMarkFinal, match="already"):
        services.mark_final(returned)


def test_a_delivery_that_goes_on_is_live_again(returned, post_webhook, turnable, pass_time):
    """Kaspi's word counts more than a person's; what was forgotten stays forgotten, and what comes is kept."""
    services.mark_final(returned)
    pass_time(returned, 31 * DAY)
    list(pruning.anonymize_personal_data(ended_before=turnable.now - 30 * DAY, batch=10))
    post_webhook(event(returned, "out_for_delivery", at=turnable.now))
    again = fresh(returned)
    assert (again.status, again.final_at, again.blanked_at, again.is_open) == ("out_for_delivery", None, None, True)
    assert again.next_refresh_at is not None


def test_staff_may_ask_about_what_they_ended(returned, drain, kaspi):
    """The same status changes nothing; another one makes it live again."""
    services.mark_final(returned)
    services.refresh_delivery(returned)
    drain()
    assert (fresh(returned).final_at is not None, fresh(returned).next_refresh_at) == (True, None)
    kaspi.move(returned.delivery_id, "lost")
    services.refresh_delivery(returned)
    drain()
    assert (fresh(returned).status, fresh(returned).final_at) == ("lost", None)


@pytest.fixture
def _returned_is_final(settings):
    """Name a status in the settings."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "FINAL_STATUSES": ["returned"]}


@pytest.mark.usefixtures("_returned_is_final")
def test_a_status_that_the_settings_name_ends_a_delivery(returned, pass_time, turnable):
    """Without staff: it is neither asked about nor flagged, and its personal data is removed in time."""
    assert (returned.next_refresh_at, returned.is_open) == (None, False)
    assert pass_time(returned, 31 * DAY) == []
    assert list(pruning.anonymize_personal_data(ended_before=turnable.now - 30 * DAY, batch=10)) == [1]


def test_a_status_that_is_named_later_takes_it_off_the_list(returned, pass_time, settings):
    """At the next answer, which is the last."""
    pass_time(returned, 2 * DAY)
    assert returned.attention == Attention.UNKNOWN_STATUS
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "FINAL_STATUSES": ["returned"]}
    assert len(pass_time(returned, 30 * DAY)) == 1
    assert (returned.attention, returned.next_refresh_at) == ("", None)


def test_personal_data_is_kept_for_a_while_after_staff_ended_it(returned, pass_time, turnable):
    """Days count from the later of Kaspi's status and the staff's mark; without one they never do."""
    pass_time(returned, 40 * DAY)
    prune = {"ended_before": turnable.now - 30 * DAY, "batch": 10}
    Delivery.objects.update(attention="")
    assert list(pruning.anonymize_personal_data(**prune)) == []
    services.mark_final(returned)
    assert list(pruning.anonymize_personal_data(**prune)) == []


def test_kaspi_decides_about_a_cancel_before_pickup(booked, move, drain):
    """A courier is assigned: the request is sent, and taken."""
    move(booked, "courier_assigned")
    services.cancel_delivery(booked, reason="closed")
    assert ApiCall.objects.filter(kind="cancel", state="due").exists()


def test_kaspis_no_is_shown(booked, move, drain, kaspi):
    """The 409 is Kaspi's answer."""
    move(booked, "courier_assigned")
    kaspi.faults.add(Fault(operation="cancel", status=409))
    services.cancel_delivery(booked)
    drain()
    assert fresh(booked).attention == Attention.CANCEL_REFUSED


def test_what_is_final_is_not_cancelled(returned):
    """Staff said so."""
    services.mark_final(returned)
    with pytest.raises(CannotCancel, match="returned"):
        services.cancel_delivery(returned)


@pytest.mark.usefixtures("_returned_is_final")
def test_what_the_settings_call_final_is_not_cancelled(returned):
    """Kaspi is not asked."""
    with pytest.raises(CannotCancel, match="returned"):
        services.cancel_delivery(returned)


@pytest.mark.parametrize(("final", "posts"), [([], 2), (["courier_assigned"], 1)])
def test_an_uncertain_cancel_goes_again_unless_it_has_ended(booked, drain, kaspi, settings, final, posts):
    """The same key and bytes, after a GET that has a status which is new to us."""
    kaspi.faults.add(Fault(operation="cancel", status=503))
    services.cancel_delivery(booked)
    drain()
    kaspi.move(booked.delivery_id, "courier_assigned")
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "FINAL_STATUSES": final}
    ApiCall.objects.filter(kind="cancel").update(next_attempt_at=NOON)
    drain()
    assert sum("/cancel" in request.path for request in kaspi.requests) == posts


def test_nothing_is_recorded_in_the_history(returned):
    """Kaspi said nothing."""
    before = StatusChange.objects.count()
    services.mark_final(returned)
    assert StatusChange.objects.count() == before


def test_a_status_without_a_time_is_a_new_one(turnable):
    """Nothing is known of how long it has lasted."""
    assert refreshing.refresh_interval(Delivery(status="returned"), turnable.now) == timedelta(minutes=30)
