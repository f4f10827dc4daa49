"""Unknown statuses: refreshed ever less often, flagged once, ended by staff or by FINAL_STATUSES."""

from datetime import timedelta
from itertools import pairwise

import pytest

from kaspi_delivery_django import services
from kaspi_delivery_django.exceptions import CannotCancel, CannotMarkFinal
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.deliveries import refreshing, rules
from kaspi_delivery_django.services.maintenance import pruning
from kaspi_delivery_django.tracking import track
from tests.conftest import NOON, event
from tests.services.conftest import fresh

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


@pytest.fixture
def change_settings(settings):
    """Change KASPI_DELIVERY."""

    def change(**values):
        settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, **values}

    return change


@pytest.fixture
def move(kaspi, drain, deliver_webhooks):
    """Give a delivery a status at Kaspi, and receive its webhook."""

    def run(delivery, status):
        kaspi.move(delivery.delivery_id, status)
        deliver_webhooks()
        drain()
        delivery.refresh_from_db()
        return delivery

    return run


@pytest.fixture
def pass_time(turnable, drain):
    """Let time pass with a running worker; return the times of the delivery's refreshes."""

    def run(delivery, by):
        end, refreshed = turnable.now + by, []
        while (due := fresh(delivery).next_refresh_at) and due <= end:
            turnable.now = max(due, turnable.now)
            drain()
            refreshed.append(turnable.now)
        turnable.now = end
        delivery.refresh_from_db()
        return refreshed

    return run


@pytest.fixture
def returned(booked, move):
    """Return a delivery with an unknown status."""
    delivery = move(booked, "returned")
    assert (delivery.status, delivery.attention) == ("returned", "")
    return delivery


def anonymize(turnable):
    """Anonymize deliveries that ended 30 days ago; return their number."""
    return sum(pruning.anonymize_personal_data(ended_before=turnable.now - 30 * DAY, batch=10))


def test_a_delivery_with_unknown_statuses_ends(booked, move, pass_time, turnable, signals):
    """It can be cancelled at first, the shop gets each status, and staff end it."""
    assert "cancel" in rules.allowed_actions(move(booked, "courier_assigned"), turnable.now)
    for status in ("in_transit", "at_the_depot", "returned"):
        move(booked, status)
    assert signals == ["courier_assigned", "in_transit", "at_the_depot", "returned"]
    pass_time(booked, 2 * DAY)
    assert booked.attention == Attention.UNKNOWN_STATUS
    services.mark_final(booked)
    assert pass_time(booked, 40 * DAY) == []
    assert anonymize(turnable) == 1
    assert fresh(booked).dropoff_phone == ""


def test_the_interval_doubles_up_to_a_day(returned, pass_time, turnable):
    """A known status is refreshed after REFRESH_AFTER each time."""
    times = [turnable.now, *pass_time(returned, 10 * DAY)]
    intervals = [after - before for before, after in pairwise(times)]
    assert intervals[:4] == [timedelta(minutes=30), timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2)]
    assert max(intervals) == intervals[-1] == DAY
    assert len(intervals) < 20
    assert refreshing.refresh_interval(Delivery(status="returned"), turnable.now) == timedelta(minutes=30)


def test_a_known_status_has_a_fixed_interval(booked, pass_time):
    """REFRESH_AFTER."""
    assert len(pass_time(booked, DAY)) == 48


def test_a_longer_refresh_after_is_the_shortest_interval(returned, pass_time, change_settings):
    """The settings decide."""
    change_settings(REFRESH_AFTER=3 * DAY)
    pass_time(returned, DAY)
    times = pass_time(returned, 20 * DAY)
    assert {after - before for before, after in pairwise(times)} == {3 * DAY}


def test_it_is_flagged_once_after_a_day(returned, pass_time, flags, turnable):
    """Exactly then, not at the next long interval; acknowledged, it is not flagged again."""
    began = turnable.now
    pass_time(returned, DAY - timedelta(minutes=1))
    assert (returned.attention, flags) == ("", [])
    times = pass_time(returned, timedelta(minutes=1))
    assert (returned.attention, times) == (Attention.UNKNOWN_STATUS, [began + DAY])
    services.acknowledge_delivery(returned)
    pass_time(returned, 30 * DAY)
    assert (returned.attention, flags) == ("", ["unknown_status"])


@pytest.mark.parametrize(("status", "count"), [("lost", 2), ("delivered", 1)])
def test_another_status_clears_the_flag(returned, move, pass_time, flags, status, count):
    """Another unknown one is flagged in turn."""
    pass_time(returned, 2 * DAY)
    move(returned, status)
    assert (returned.status, returned.attention, returned.final_asked_at) == (status, "", None)
    pass_time(returned, 2 * DAY)
    assert flags == ["unknown_status"] * count


def test_another_flag_is_not_replaced(returned, pass_time, flags):
    """The unknown status is flagged after that one is cleared."""
    Delivery.objects.update(attention="second_parcel")
    pass_time(returned, 3 * DAY)
    assert (returned.attention, flags) == ("second_parcel", [])
    Delivery.objects.update(attention="")
    pass_time(returned, 2 * DAY)
    assert flags == ["unknown_status"]


def test_a_delivery_marked_as_final_has_ended(returned, pass_time, turnable, kaspi):
    """It is not refreshed, its customer's page shows the end, and the history has no step for it."""
    pass_time(returned, 2 * DAY)
    before = (len(kaspi.requests), StatusChange.objects.count())
    ended = services.mark_final(returned)
    assert (ended.final_at, ended.next_refresh_at, ended.attention) == (turnable.now, None, "")
    pass_time(returned, 30 * DAY)
    assert (len(kaspi.requests), StatusChange.objects.count()) == before
    assert track(returned).is_final
    assert not Delivery.objects.in_unknown_status().exists()
    assert rules.allowed_actions(fresh(returned), turnable.now) == {"refresh"}
    with pytest.raises(CannotCancel, match="returned"):
        services.cancel_delivery(returned)


def test_its_pending_calls_are_abandoned(returned):
    """An unanswered refresh and a cancel would keep its personal data for ever."""
    services.refresh_delivery(returned)
    services.cancel_delivery(returned)
    ApiCall.objects.filter(kind="refresh").update(state="stuck", reason="not_found", next_attempt_at=None)
    Delivery.objects.update(attention="not_found")
    services.mark_final(returned)
    assert not ApiCall.objects.filter(state__in=ApiCall.UNFINISHED).exists()
    assert fresh(returned).attention == ""


def test_a_second_parcel_stays_flagged(returned):
    """It is about another delivery."""
    Delivery.objects.update(attention="second_parcel")
    services.mark_final(returned)
    assert fresh(returned).attention == "second_parcel"


def test_a_known_status_cannot_be_marked_as_final(booked):
    """Its meaning is documented."""
    for status in ("", "created", "in_transit", "delivered", "cancelled"):
        Delivery.objects.update(status=status)
        with pytest.raises(CannotMarkFinal, match="Only a status that is new"):
            services.mark_final(booked)


def test_a_delivery_ends_once(returned, change_settings):
    """By staff, or by the settings."""
    services.mark_final(returned)
    with pytest.raises(CannotMarkFinal, match="already"):
        services.mark_final(returned)
    Delivery.objects.update(final_at=None)
    change_settings(FINAL_STATUSES=["returned"])
    with pytest.raises(CannotMarkFinal, match="already"):
        services.mark_final(returned)


def test_another_status_opens_it_again(returned, post_webhook, turnable, pass_time):
    """Anonymized data stays so, and new data is kept until the next end."""
    services.mark_final(returned)
    pass_time(returned, 31 * DAY)
    assert anonymize(turnable) == 1
    post_webhook(event(returned, "out_for_delivery", at=turnable.now))
    again = fresh(returned)
    assert (again.status, again.final_at, again.blanked_at, again.is_open) == ("out_for_delivery", None, None, True)
    assert again.next_refresh_at is not None


def test_staff_may_refresh_what_they_ended(returned, drain, kaspi):
    """The same status changes nothing; another one opens it again."""
    services.mark_final(returned)
    services.refresh_delivery(returned)
    drain()
    assert (fresh(returned).final_at is not None, fresh(returned).next_refresh_at) == (True, None)
    kaspi.move(returned.delivery_id, "lost")
    services.refresh_delivery(returned)
    drain()
    assert (fresh(returned).status, fresh(returned).final_at) == ("lost", None)


def test_a_final_status_of_the_settings_ends_a_delivery(change_settings, booked, move, pass_time, turnable):
    """It is neither refreshed nor flagged, cannot be cancelled, and is anonymized in time."""
    change_settings(FINAL_STATUSES=["returned"])
    returned = move(booked, "returned")
    assert (returned.next_refresh_at, returned.is_open) == (None, False)
    with pytest.raises(CannotCancel, match="returned"):
        services.cancel_delivery(returned)
    assert pass_time(returned, 31 * DAY) == []
    assert anonymize(turnable) == 1


def test_a_status_that_becomes_final_clears_the_flag(returned, pass_time, change_settings):
    """At the next answer, which is the last."""
    pass_time(returned, 2 * DAY)
    assert returned.attention == Attention.UNKNOWN_STATUS
    change_settings(FINAL_STATUSES=["returned"])
    assert len(pass_time(returned, 30 * DAY)) == 1
    assert (returned.attention, returned.next_refresh_at) == ("", None)


def test_personal_data_is_kept_for_30_days_after_the_end(returned, pass_time, turnable):
    """Which is the later of Kaspi's status and the staff's mark; an open delivery keeps it."""
    pass_time(returned, 40 * DAY)
    Delivery.objects.update(attention="")
    assert anonymize(turnable) == 0
    services.mark_final(returned)
    assert anonymize(turnable) == 0


def test_kaspi_decides_about_a_cancel(booked, move, drain, kaspi):
    """The request is sent, and a 409 is flagged."""
    move(booked, "courier_assigned")
    kaspi.faults.add(Fault(operation="cancel", status=409))
    services.cancel_delivery(booked)
    assert ApiCall.objects.filter(kind="cancel", state="due").exists()
    drain()
    assert fresh(booked).attention == Attention.CANCEL_REFUSED


@pytest.mark.parametrize(("final", "posts"), [([], 2), (["courier_assigned"], 1)])
def test_an_uncertain_cancel_is_sent_again_unless_the_delivery_has_ended(
    booked, drain, kaspi, change_settings, final, posts
):
    """After a GET that shows the unknown status."""
    kaspi.faults.add(Fault(operation="cancel", status=503))
    services.cancel_delivery(booked)
    drain()
    kaspi.move(booked.delivery_id, "courier_assigned")
    change_settings(FINAL_STATUSES=final)
    ApiCall.objects.filter(kind="cancel").update(next_attempt_at=NOON)
    drain()
    assert sum("/cancel" in request.path for request in kaspi.requests) == posts
