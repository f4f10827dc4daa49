from datetime import UTC, datetime, timedelta
from itertools import permutations, product

import pytest

from kaspi_delivery_django.statuses import (
    CANCELLABLE,
    PICKED_UP,
    STATUSES,
    TERMINAL,
    StatusSnapshot,
    Transition,
    is_cancellable,
    transition,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)
TIMES = list(product([None, NOON, LATER], repeat=2))
UNKNOWN = "at_the_depot"
A, R, S, C, U = Transition
# What an update (columns) means for a delivery with a status (rows), if neither has a time.
#                   created accepted in_transit out_for_d. delivered cancelled returned
TABLE = {
    "":                [A,    A,       A,         A,         A,        A,        U],
    "created":         [R,    A,       A,         A,         A,        A,        U],
    "accepted":        [S,    R,       A,         A,         A,        A,        U],
    "in_transit":      [S,    S,       R,         A,         A,        C,        U],
    "out_for_delivery":[S,    S,       S,         R,         A,        C,        U],
    "delivered":       [S,    S,       S,         S,         R,        C,        S],
    "cancelled":       [S,    S,       C,         C,         C,        R,        S],
    UNKNOWN:           [A,    A,       A,         A,         A,        A,        U],
}  # fmt: skip
INCOMING = [*STATUSES, "returned"]
MATRIX = [
    pytest.param(current, incoming, expected, id=f"{current or 'nothing'} <- {incoming}")
    for current, row in TABLE.items()
    for incoming, expected in zip(INCOMING, row, strict=True)
]


@pytest.mark.parametrize(("current", "incoming", "expected"), MATRIX)
def test_the_transition_between_two_statuses(current, incoming, expected):
    """Times matter only after an unknown status: Kaspi's are whole seconds."""
    for current_at, incoming_at in TIMES if current != UNKNOWN else [(None, None)]:
        assert transition(StatusSnapshot(current, current_at), StatusSnapshot(incoming, incoming_at)) is expected


def test_the_same_status_is_a_repeat():
    """Known or not, and at any time."""
    for status, (current_at, incoming_at) in product(TABLE, TIMES):
        found = transition(StatusSnapshot(status, current_at), StatusSnapshot(status, incoming_at))
        assert found is Transition.REPEAT


@pytest.mark.parametrize("incoming", STATUSES)
def test_times_decide_after_an_unknown_status(incoming):
    """An older status is stale, unless it is final."""
    for current_at, incoming_at in TIMES:
        found = transition(StatusSnapshot(UNKNOWN, current_at), StatusSnapshot(incoming, incoming_at))
        is_older = (current_at, incoming_at) == (LATER, NOON) and incoming not in TERMINAL
        assert found is (Transition.STALE if is_older else Transition.ADVANCE)


def after(events, start=""):
    """Return the status after these events, if only an advance changes it."""
    current = StatusSnapshot(start)
    for event in events:
        if transition(current, event) is Transition.ADVANCE:
            current = event
    return current.status


ROAD = ["created", "accepted", "in_transit", "out_for_delivery"]


@pytest.mark.parametrize(
    ("statuses", "end"),
    [
        ([*ROAD, "delivered", "delivered"], "delivered"),
        ([*ROAD[:3], UNKNOWN, "out_for_delivery", "delivered"], "delivered"),
        ([*ROAD, "out_for_delivery", UNKNOWN], "out_for_delivery"),
        (["created", "created", "accepted", "accepted", "cancelled", "cancelled"], "cancelled"),
        (["created", "queued", "accepted", "held", "held", "cancelled"], "cancelled"),
    ],
)
def test_any_order_and_repetition_of_arrivals_ends_the_same(statuses, end):
    """All 720 orders in which six events can arrive, also if each arrives three times."""
    events = [StatusSnapshot(status, NOON + timedelta(minutes=minute)) for minute, status in enumerate(statuses)]
    for order in permutations(events):
        assert after(order) == after([*order, *events, *order]) == end


def test_kaspi_decides_about_a_cancel_before_pickup():
    """And in a status that is new to us."""
    assert {"", "created", "accepted"} == CANCELLABLE
    assert {"in_transit", "out_for_delivery", "delivered"} == PICKED_UP
    assert {"delivered", "cancelled"} == TERMINAL
    assert all(is_cancellable(status) for status in (*CANCELLABLE, "courier_assigned", "returned"))
    assert not any(is_cancellable(status) for status in (*PICKED_UP, *TERMINAL))
