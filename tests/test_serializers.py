"""The JSON that a customer's app reads."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from kaspi_delivery_django.serializers import TrackingSerializer
from kaspi_delivery_django.tracking import Step, Tracking, track
from tests import tracked
from tests.conftest import NOON
from tests.docs import pages


def example():
    """Return the documented example."""
    [block] = [block for block in pages.read("docs/tracking.md").blocks if block.language == "json"]
    return json.loads(block.text)


def test_an_empty_tracking_has_every_field():
    """An unknown value is null, empty or false: an app need not check whether a field exists."""
    data = TrackingSerializer(Tracking()).data
    assert set(data) == set(example())
    assert (data["status"], data["status_at"], data["steps"], data["tracking_url"]) == ("", None, [], "")


@pytest.mark.django_db
def test_a_delivery_in_transit(booked, fake_clock):
    """Reached steps have a time, those to come have none; a delivery may be serialized itself."""
    fake_clock.advance(hours=2)
    tracked.stand(
        booked,
        "in_transit",
        ("created", 0, True),
        ("in_transit", 9, True),
        ("accepted", 5, False),
        delivery_by=NOON + timedelta(hours=1),
        pickup_by=None,
        tracking_url="https://track.kaspi.kz/1",
    )
    data = TrackingSerializer(track(booked)).data
    rows = [(step["status"], step["at"], step["is_late"], step["is_current"]) for step in data["steps"]]
    assert rows == [
        ("created", "2026-03-01T12:00:00Z", False, False),
        ("accepted", "2026-03-01T12:05:00Z", True, False),
        ("in_transit", "2026-03-01T12:09:00Z", False, True),
        ("out_for_delivery", None, False, False),
        ("delivered", None, False, False),
    ]
    assert (data["delivery_by"], data["pickup_by"], data["is_overdue"]) == ("2026-03-01T13:00:00Z", None, True)
    assert (data["tracking_url"], data["is_final"]) == ("https://track.kaspi.kz/1", False)
    booked.refresh_from_db()
    assert TrackingSerializer([booked], many=True).data == [TrackingSerializer(booked).data] == [data]


@pytest.mark.django_db
def test_times_do_not_follow_the_hosts_format(booked, settings):
    """They are RFC 3339 in UTC."""
    settings.REST_FRAMEWORK = {"DATETIME_FORMAT": "%d.%m.%y"}
    settings.TIME_ZONE = "Asia/Almaty"
    assert TrackingSerializer(tracked.stand(booked, "created")).data["status_at"] == "2026-03-01T12:00:00Z"


def test_the_documented_example_is_the_answer():
    """To the letter."""
    taken = [("created", 0), ("accepted", 5), ("in_transit", 9)]
    steps = [Step(status=status, at=NOON + timedelta(minutes=minutes)) for status, minutes in taken]
    ahead = [Step(status=status) for status in ("out_for_delivery", "delivered")]
    tracking = Tracking(
        status="in_transit",
        status_at=NOON + timedelta(minutes=9),
        pickup_by=NOON + timedelta(minutes=30),
        delivery_by=NOON + timedelta(hours=2),
        url="https://track.kaspi.kz/dlv_01hfz18tnb7tqw",
        steps=(*steps[:2], replace(steps[2], is_current=True), *ahead),
    )
    assert TrackingSerializer(tracking).data == example()
