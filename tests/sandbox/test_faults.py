import json

import pytest

from kaspi_delivery_django.sandbox.faults import Fault


def test_a_fault_hits_once_by_default(partner, kaspi):
    """One call fails, the next is answered."""
    kaspi.faults.add(Fault(status=503))
    assert [partner.create().status for _ in range(2)] == [503, 201]


def test_a_fault_hits_so_many_times(partner, kaspi):
    """`times` calls fail, then none."""
    kaspi.faults.add(Fault(status=500, times=2))
    assert [partner.create().status for _ in range(3)] == [500, 500, 201]


def test_a_fault_without_end_is_cleared(partner, kaspi):
    """times=None lasts until clear()."""
    kaspi.faults.add(Fault(status=500, times=None))
    assert [partner.create().status for _ in range(3)] == [500, 500, 500]
    kaspi.faults.clear()
    assert partner.create().status == 201


def test_a_fault_waits_for_its_operation(partner, kaspi):
    """A fault of cancel leaves create and get alone."""
    kaspi.faults.add(Fault(operation="cancel", status=500))
    delivery_id = partner.book()
    assert partner.get(delivery_id).status == 200
    assert partner.cancel(delivery_id).status == 500


def test_faults_queue(partner, kaspi):
    """Faults hit in the order they were added."""
    for status in (500, 502):
        kaspi.faults.add(Fault(status=status))
    assert [partner.create().status for _ in range(3)] == [500, 502, 201]


def test_a_fault_may_be_a_matter_of_luck(partner, kaspi):
    """With probability one half some calls fail and some do not."""
    kaspi.faults.add(Fault(status=500, probability=0.5, times=None))
    assert {partner.create().status for _ in range(50)} == {500, 201}


def test_a_status_fault_books_nothing(partner, kaspi):
    """An error is answered instead of the booking."""
    kaspi.faults.add(Fault(status=500))
    partner.create()
    assert kaspi.deliveries == {}


def test_booked_behind_an_error(partner, kaspi):
    """With booked=True the error hides a booking, which the replay reveals."""
    kaspi.faults.add(Fault(status=502, booked=True))
    assert partner.create().status == 502
    assert len(kaspi.deliveries) == 1
    replay = partner.create()
    assert (replay.status, replay.headers["X-Idempotent-Replay"]) == (201, "true")


@pytest.mark.parametrize("booked", [True, False])
def test_a_stored_error_is_replayed(partner, kaspi, booked):
    """With stored=True every replay repeats the error."""
    kaspi.faults.add(Fault(status=500, booked=booked, stored=True))
    assert "X-Idempotent-Replay" not in partner.create().headers
    replay = partner.create()
    assert (replay.status, replay.headers["X-Idempotent-Replay"]) == (500, "true")
    assert len(kaspi.deliveries) == booked


def test_rate_limiting(partner, kaspi):
    """A 429 has Kaspi's code and the Retry-After it was given, and is not stored."""
    kaspi.faults.add(Fault(status=429, retry_after=7))
    answer = partner.create()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert json.loads(answer.body)["code"] == "rate_limited"
    assert partner.create().status == 201


def test_a_code_of_choice(partner, kaspi):
    """The code may be one Kaspi has not published."""
    kaspi.faults.add(Fault(status=409, code="in_progress", booked=True))
    assert json.loads(partner.create().body)["code"] == "in_progress"


@pytest.mark.parametrize(("drop", "booked"), [("before", 0), ("after", 1)])
def test_a_dropped_connection(partner, kaspi, drop, booked):
    """A drop is answered by nobody, before or after the booking, and logged with status 0."""
    kaspi.faults.add(Fault(drop=drop))
    assert partner.create().drop
    assert (len(kaspi.deliveries), kaspi.requests[0].status) == (booked, 0)


def test_latency_alone_changes_no_answer(partner, kaspi):
    """A slow answer is the true one."""
    kaspi.faults.add(Fault(latency_s=30))
    answer = partner.create()
    assert (answer.status, answer.latency_s, len(kaspi.deliveries)) == (201, 30, 1)


def test_a_replay_is_quick_and_whole(partner, kaspi):
    """What befell the first answer on its way is not stored with it."""
    kaspi.faults.add(Fault(latency_s=30, truncate=True, stored=True))
    partner.create()
    replay = partner.create()
    assert (replay.latency_s, replay.truncate, replay.drop) == (0, False, False)


def test_another_body(partner, kaspi):
    """The body may be anything, under the true status."""
    kaspi.faults.add(Fault(body=b"not json"))
    answer = partner.create()
    assert (answer.status, answer.body, len(kaspi.deliveries)) == (201, b"not json", 1)


def test_a_fault_does_not_open_the_door(partner, kaspi):
    """booked=True books nothing for a caller who may not book."""
    kaspi.faults.add(Fault(status=500, booked=True))
    partner.call("POST", "/v1/deliveries", {}, x_api_key="wrong", idempotency_key="k")
    assert kaspi.deliveries == {}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(),
        Fault(operation="create", times=None, probability=0.5, latency_s=2.5),
        Fault(status=429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT", code="slow"),
        Fault(body=b"<html>", truncate=True, drop="after", stored=True, booked=True),
    ],
)
def test_a_fault_survives_json(fault):
    """What to_dict gives, from_dict reads."""
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
