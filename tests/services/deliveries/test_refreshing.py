"""Unknown statuses: refreshed ever less often, flagged once, ended by staff or by FINAL_STATUSES."""

from datetime import timedelta

import pytest

from kaspi_delivery_django import services
from kaspi_delivery_django.exceptions import CannotCancel, CannotMarkFinal
from kaspi_delivery_django.models import ApiCall, Attention, Delivery, StatusChange
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.deliveries import rules
from kaspi_delivery_django.services.deliveries.status import refresh_interval
from kaspi_delivery_django.services.maintenance import pruning
from kaspi_delivery_django.tracking import track
from tests.conftest import NOON, event
from tests.services.conftest import fresh

pytestmark = pytest.mark.django_db
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def later(fake_clock, drain):
    """Let time pass, and refresh the delivery then if it is due; return the number of refreshes."""

    def run(delivery, by):
        fake_clock.now += by
        due = fresh(delivery).next_refresh_at
        is_due = due is not None and due <= fake_clock.now
        drain()
        delivery.refresh_from_db()
        return int(is_due)

    return run


@pytest.fixture
def returned(booked, move):
    """Return a delivery with an unknown status."""
    delivery = move(booked, "returned")
    assert (delivery.status, delivery.attention) == ("returned", "")
    return delivery


def anonymize(fake_clock):
    """Anonymize deliveries that ended 30 days ago; return their number."""
    return sum(pruning.anonymize_personal_data(ended_before=fake_clock.now - 30 * DAY, batch=10))


@pytest.mark.parametrize(
    ("status", "refresh_after", "hours"),
    [
        ("returned", HOUR / 2, [0.5, 0.5, 1, 2, 4, 8, 8, 24, 24]),  # the flag's time is not skipped
        ("returned", 3 * DAY, [24, 72, 72]),
        ("created", HOUR / 2, [0.5, 0.5, 0.5]),
    ],
)
def test_the_intervals_of_the_refreshes(configure, status, refresh_after, hours):
    """REFRESH_AFTER in a known status; it doubles up to a day in an unknown one."""
    configure(REFRESH_AFTER=refresh_after)
    delivery, now, found = Delivery(status=status, status_at=NOON), NOON, []
    for _ in hours:
        found.append(refresh_interval(delivery, now))
        now += found[-1]
    assert [interval / HOUR for interval in found] == hours


def test_it_is_flagged_once_after_a_day(returned, later, flags):
    """Not before, and not again once it is acknowledged."""
    later(returned, DAY - timedelta(minutes=1))
    assert (returned.attention, flags) == ("", [])
    assert later(returned, timedelta(minutes=1)) == 1
    assert returned.attention == Attention.UNKNOWN_STATUS
    services.acknowledge_delivery(returned)
    assert later(returned, 3 * DAY) == 1
    assert (returned.attention, flags) == ("", ["unknown_status"])


@pytest.mark.parametrize(("status", "again"), [("lost", ["unknown_status"]), ("delivered", [])])
def test_another_status_clears_the_flag(returned, move, later, signals, status, again):
    """The shop gets it, and another unknown one is flagged in turn."""
    later(returned, DAY)
    move(returned, status)
    assert (returned.status, returned.attention, returned.final_asked_at) == (status, "", None)
    later(returned, DAY)
    assert signals == ["unknown_status", status, *again]


def test_another_flag_is_not_replaced(returned, later, flags):
    """The unknown status is flagged after that one is cleared."""
    Delivery.objects.update(attention="second_parcel")
    later(returned, DAY)
    assert (returned.attention, flags) == ("second_parcel", [])
    Delivery.objects.update(attention="")
    later(returned, DAY)
    assert flags == ["unknown_status"]


def test_a_delivery_marked_as_final_has_ended(returned, later, fake_clock, kaspi):
    """It is not refreshed, its customer's page shows the end, and the history has no step for it."""
    before = (len(kaspi.requests), StatusChange.objects.count())
    ended = services.mark_final(returned)
    assert (ended.final_at, ended.next_refresh_at, ended.attention) == (fake_clock.now, None, "")
    later(returned, 3 * DAY)
    assert (len(kaspi.requests), StatusChange.objects.count()) == before
    assert track(returned).is_final
    assert not Delivery.objects.in_unknown_status().exists()
    assert rules.allowed_actions(fresh(returned), fake_clock.now) == {"refresh"}
    with pytest.raises(CannotCancel, match="returned"):
        services.cancel_delivery(returned)


@pytest.mark.parametrize(("reason", "left"), [("not_found", ""), ("second_parcel", "second_parcel")])
def test_its_pending_calls_are_abandoned(returned, reason, left):
    """An unanswered refresh and a cancel would keep its personal data for ever; a second parcel stays flagged."""
    services.refresh_delivery(returned)
    services.cancel_delivery(returned)
    ApiCall.objects.filter(kind="refresh").update(state="stuck", reason="not_found", next_attempt_at=None)
    Delivery.objects.update(attention=reason)
    services.mark_final(returned)
    assert not ApiCall.objects.filter(state__in=ApiCall.UNFINISHED).exists()
    assert fresh(returned).attention == left


def test_a_known_or_ended_status_cannot_be_marked_as_final(returned, configure):
    """The first has a documented meaning, the second was ended by staff or by the settings."""
    for status in ("", "created", "in_transit", "delivered", "cancelled"):
        Delivery.objects.update(status=status)
        with pytest.raises(CannotMarkFinal, match="Only a status that is new"):
            services.mark_final(returned)
    Delivery.objects.update(status="returned")
    services.mark_final(returned)
    with pytest.raises(CannotMarkFinal, match="already"):
        services.mark_final(returned)
    Delivery.objects.update(final_at=None)
    configure(FINAL_STATUSES=["returned"])
    with pytest.raises(CannotMarkFinal, match="already"):
        services.mark_final(returned)


@pytest.mark.django_db(transaction=True)
def test_another_status_reopens_it(returned, post_webhook, fake_clock, drain, kaspi):
    """By a refresh of staff or a webhook; anonymized data stays so, and new data is kept until the next end."""
    services.mark_final(returned)
    services.refresh_delivery(returned)
    drain()
    assert (fresh(returned).final_at is not None, fresh(returned).next_refresh_at) == (True, None)
    kaspi.move(returned.delivery_id, "lost")
    services.refresh_delivery(returned)
    drain()
    assert (fresh(returned).status, fresh(returned).final_at) == ("lost", None)
    services.mark_final(returned)
    fake_clock.advance(days=31)
    assert (anonymize(fake_clock), fresh(returned).dropoff_phone) == (1, "")
    post_webhook(event(returned, "out_for_delivery", at=fake_clock.now))
    again = fresh(returned)
    assert (again.status, again.final_at, again.blanked_at, again.is_open) == ("out_for_delivery", None, None, True)
    assert again.next_refresh_at is not None


@pytest.mark.django_db(transaction=True)
def test_a_final_status_of_the_settings_ends_a_delivery(configure, booked, move, fake_clock):
    """It is not refreshed, cannot be cancelled, and is anonymized in time."""
    configure(FINAL_STATUSES=["returned"])
    returned = move(booked, "returned")
    assert (returned.next_refresh_at, returned.is_open) == (None, False)
    with pytest.raises(CannotCancel, match="returned"):
        services.cancel_delivery(returned)
    fake_clock.advance(days=31)
    assert anonymize(fake_clock) == 1


def test_a_status_that_becomes_final_clears_the_flag(returned, later, configure):
    """At the next answer, which is the last."""
    later(returned, DAY)
    assert returned.attention == Attention.UNKNOWN_STATUS
    configure(FINAL_STATUSES=["returned"])
    assert (later(returned, DAY), returned.attention, returned.next_refresh_at) == (1, "", None)


@pytest.mark.django_db(transaction=True)
def test_personal_data_is_kept_for_30_days_after_the_end(returned, later, fake_clock):
    """The end is the later of Kaspi's status and the staff's mark; an open delivery keeps its data."""
    later(returned, 40 * DAY)
    Delivery.objects.update(attention="")
    assert anonymize(fake_clock) == 0
    services.mark_final(returned)
    assert anonymize(fake_clock) == 0


@pytest.mark.parametrize(("final", "posts"), [([], 2), (["courier_assigned"], 1)])
def test_an_uncertain_cancel_is_sent_again_unless_the_delivery_has_ended(booked, drain, kaspi, configure, final, posts):
    """After a GET that shows the unknown status."""
    kaspi.faults.add(Fault(operation="cancel", status=503))
    services.cancel_delivery(booked)
    drain()
    kaspi.move(booked.delivery_id, "courier_assigned")
    configure(FINAL_STATUSES=final)
    ApiCall.objects.filter(kind="cancel").update(next_attempt_at=NOON)
    drain()
    assert sum("/cancel" in request.path for request in kaspi.requests) == posts
