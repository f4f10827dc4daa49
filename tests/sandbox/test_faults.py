import json

import pytest

from kaspi_delivery_django.sandbox.faults import Fault


def test_a_fault_hits_once_by_default(partner, world):
    """One call fails, the next is answered."""
    world.faults.add(Fault(status=503))
    assert [partner.create().status for _ in range(2)] == [503, 201]


def test_a_fault_hits_so_many_times(partner, world):
    """`times` calls fail, then none."""
    world.faults.add(Fault(status=500, times=2))
    assert [partner.create().status for _ in range(3)] == [500, 500, 201]


def test_a_fault_without_end_is_cleared(partner, world):
    """times=None lasts until clear()."""
    world.faults.add(Fault(status=500, times=None))
    assert [partner.create().status for _ in range(3)] == [500, 500, 500]
    world.faults.clear()
    assert partner.create().status == 201


def test_a_fault_waits_for_its_operation(partner, world):
    """A fault of cancel leaves create and get alone."""
    world.faults.add(Fault(operation="cancel", status=500))
    delivery_id = partner.book()
    assert partner.get(delivery_id).status == 200
    assert partner.cancel(delivery_id).status == 500


def test_faults_queue(partner, world):
    """Faults hit in the order they were added."""
    for status in (500, 502):
        world.faults.add(Fault(status=status))
    assert [partner.create().status for _ in range(3)] == [500, 502, 201]


def test_a_fault_may_be_a_matter_of_luck(partner, world):
    """With probability one half some calls fail and some do not."""
    world.faults.add(Fault(status=500, probability=0.5, times=None))
    assert {partner.create().status for _ in range(50)} == {500, 201}


def test_a_status_fault_books_nothing(partner, world):
    """An error is answered instead of the booking."""
    world.faults.add(Fault(status=500))
    partner.create()
    assert world.deliveries == {}


def test_booked_behind_an_error(partner, world):
    """With booked=True the error hides a booking, which the replay reveals."""
    world.faults.add(Fault(status=502, booked=True))
    assert partner.create().status == 502
    assert len(world.deliveries) == 1
    replay = partner.create()
    assert (replay.status, replay.headers["X-Idempotent-Replay"]) == (201, "true")


@pytest.mark.parametrize("booked", [True, False])
def test_a_stored_error_is_replayed(partner, world, booked):
    """With stored=True every replay repeats the error."""
    world.faults.add(Fault(status=500, booked=booked, stored=True))
    assert "X-Idempotent-Replay" not in partner.create().headers
    replay = partner.create()
    assert (replay.status, replay.headers["X-Idempotent-Replay"]) == (500, "true")
    assert len(world.deliveries) == booked


def test_rate_limiting(partner, world):
    """A 429 has Kaspi's code and the Retry-After it was given, and is not stored."""
    world.faults.add(Fault(status=429, retry_after=7))
    answer = partner.create()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert json.loads(answer.body)["code"] == "rate_limited"
    assert partner.create().status == 201


def test_a_code_of_choice(partner, world):
    """The code may be one Kaspi has not published."""
    world.faults.add(Fault(status=409, code="in_progress", booked=True))
    assert json.loads(partner.create().body)["code"] == "in_progress"


@pytest.mark.parametrize(("drop", "booked"), [("before", 0), ("after", 1)])
def test_a_dropped_connection(partner, world, drop, booked):
    """A drop is answered by nobody, before or after the booking, and logged with status 0."""
    world.faults.add(Fault(drop=drop))
    assert partner.create().drop
    assert (len(world.deliveries), world.requests[0].status) == (booked, 0)


def test_latency_alone_changes_no_answer(partner, world):
    """A slow answer is the true one."""
    world.faults.add(Fault(latency_s=30))
    answer = partner.create()
    assert (answer.status, answer.latency_s, len(world.deliveries)) == (201, 30, 1)


def test_a_replay_is_quick_and_whole(partner, world):
    """What befell the first answer on its way is not stored with it."""
    world.faults.add(Fault(latency_s=30, truncate=True, stored=True))
    partner.create()
    replay = partner.create()
    assert (replay.latency_s, replay.truncate, replay.drop) == (0, False, False)


def test_another_body(partner, world):
    """The body may be anything, under the true status."""
    world.faults.add(Fault(body=b"not json"))
    answer = partner.create()
    assert (answer.status, answer.body, len(world.deliveries)) == (201, b"not json", 1)


def test_a_fault_does_not_open_the_door(partner, world):
    """booked=True books nothing for a caller who may not book."""
    world.faults.add(Fault(status=500, booked=True))
    partner.call("POST", "/v1/deliveries", {}, x_api_key="wrong", idempotency_key="k")
    assert world.deliveries == {}


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
