import json

import pytest

from kaspi_delivery_django.sandbox.faults import Fault
from tests.sandbox.conftest import error

REPLAY = "X-Idempotent-Replay"


def test_how_often_a_fault_hits(partner, kaspi):
    """Once by default, `times` calls, or all until clear(), in the order of adding."""
    kaspi.faults.add(Fault(status=500))
    kaspi.faults.add(Fault(status=502, times=2))
    kaspi.faults.add(Fault(status=503, times=None))
    assert [partner.create().status for _ in range(6)] == [500, 502, 502, 503, 503, 503]
    assert kaspi.deliveries == {}
    kaspi.faults.clear()
    assert partner.create().status == 201


def test_a_fault_waits_for_its_operation(partner, kaspi):
    """A fault of cancel leaves create and get alone."""
    kaspi.faults.add(Fault(operation="cancel", status=500))
    delivery_id = partner.book()
    assert partner.get(delivery_id).status == 200
    assert partner.cancel(delivery_id).status == 500


def test_probability(partner, kaspi):
    """With probability one half some calls fail and some do not."""
    kaspi.faults.add(Fault(status=500, probability=0.5, times=None))
    assert {partner.create().status for _ in range(50)} == {500, 201}


def test_booked_behind_an_error(partner, kaspi):
    """With booked=True the error hides a booking, which the replay shows."""
    kaspi.faults.add(Fault(status=409, code="in_progress", booked=True))
    assert error(partner.create()) == (409, "in_progress")
    assert len(kaspi.deliveries) == 1
    replay = partner.create()
    assert (replay.status, replay.headers[REPLAY]) == (201, "true")


@pytest.mark.parametrize("booked", [True, False])
def test_a_stored_error_is_replayed(partner, kaspi, booked):
    """With stored=True every replay repeats the error, but not the latency and the truncation of the first one."""
    kaspi.faults.add(Fault(status=500, booked=booked, stored=True, latency_s=30, truncate=True))
    first = partner.create()
    assert (first.latency_s, first.truncate, REPLAY in first.headers) == (30, True, False)
    replay = partner.create()
    assert (replay.status, replay.headers[REPLAY]) == (500, "true")
    assert (replay.latency_s, replay.truncate, len(kaspi.deliveries)) == (0, False, booked)


def test_rate_limiting(partner, kaspi):
    """A 429 has Kaspi's code and the Retry-After it was given, and is not stored."""
    kaspi.faults.add(Fault(status=429, retry_after=7))
    answer = partner.create()
    assert (*error(answer), answer.headers["Retry-After"]) == (429, "rate_limited", "7")
    assert partner.create().status == 201


def test_latency_and_another_body(partner, kaspi):
    """A slow answer is the true one; another body comes under the true status."""
    kaspi.faults.add(Fault(latency_s=30, body=b"not json"))
    answer = partner.create()
    assert (answer.status, answer.latency_s, answer.body) == (201, 30, b"not json")
    assert len(kaspi.deliveries) == 1


def test_a_fault_needs_the_key_too(partner, kaspi):
    """booked=True books nothing for a caller without the key."""
    kaspi.faults.add(Fault(status=500, booked=True))
    partner.call("POST", "/v1/deliveries", {}, x_api_key="wrong", idempotency_key="k")
    assert kaspi.deliveries == {}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(operation="create", times=None, probability=0.5, latency_s=2.5),
        Fault(status=429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT", code="slow"),
        Fault(body=b"<html>", truncate=True, drop="after", stored=True, booked=True),
    ],
)
def test_a_fault_survives_json(fault):
    """What to_dict writes, from_dict reads."""
    assert Fault.from_dict(json.loads(json.dumps(fault.to_dict()))) == fault


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"statuss": 500}, "statuss"),
        ({"status": "500"}, "status"),
        ({"status": 700}, "status"),
        ({"operation": "list"}, "operation"),
        ({"times": 0}, "times"),
        ({"probability": 2}, "probability"),
        ({"latency_s": -1}, "latency_s"),
        ({"drop": "maybe"}, "drop"),
        ({"status": 429, "stored": True}, "stored"),
        ({"drop": "before", "stored": True}, "stored"),
        ([], "body"),
    ],
)
def test_a_wrong_fault_is_refused(data, field):
    """A fault that cannot be is a ValueError naming the field."""
    with pytest.raises(ValueError, match=f"^{field}: "):
        Fault.from_dict(data)
