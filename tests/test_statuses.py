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

CURRENT = [
    "",
    "created",
    "accepted",
    "in_transit",
    "out_for_delivery",
    "delivered",
    "cancelled",
    "at_the_depot",
]
A, R, S, C, U = Transition
# What the news (columns) means for a delivery that stands at (rows). Without times, a known word
# replaces one that nobody knows.
#                   created accepted in_transit out_for_d. delivered cancelled returned
TABLE = {
    "":                [A,    A,       A,         A,         A,        A,        U],
    "created":         [R,    A,       A,         A,         A,        A,        U],
    "accepted":        [S,    R,       A,         A,         A,        A,        U],
    "in_transit":      [S,    S,       R,         A,         A,        C,        U],
    "out_for_delivery":[S,    S,       S,         R,         A,        C,        U],
    "delivered":       [S,    S,       S,         S,         R,        C,        S],
    "cancelled":       [S,    S,       C,         C,         C,        R,        S],
    "at_the_depot":    [A,    A,       A,         A,         A,        A,        U],
}  # fmt: skip
INCOMING = [*CURRENT[1:7], "returned"]
TIMES = list(product([None, NOON, LATER], repeat=2))
MATRIX = [
    pytest.param(current, incoming, verdict, id=f"{current or 'nothing'} <- {incoming}")
    for current, verdicts in TABLE.items()
    for incoming, verdict in zip(INCOMING, verdicts, strict=True)
]


def test_the_table_is_whole():
    """Every status meets every status."""
    assert list(TABLE) == CURRENT
    assert len(MATRIX) == 8 * 7
    assert tuple(INCOMING[:6]) == STATUSES


@pytest.mark.parametrize(("current", "incoming", "verdict"), MATRIX)
def test_judge(current, incoming, verdict):
    """The verdict on one piece of news, by the words alone."""
    assert transition(StatusSnapshot(current), StatusSnapshot(incoming)) is verdict


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize(("current", "incoming", "verdict"), MATRIX[:-7])
def test_times_do_not_matter_between_known_words(current, incoming, verdict, times):
    """Against a known word the times decide nothing: Kaspi's stamps are whole seconds."""
    assert transition(StatusSnapshot(current, times[0]), StatusSnapshot(incoming, times[1])) is verdict


@pytest.mark.parametrize("word", CURRENT)
@pytest.mark.parametrize("times", TIMES)
def test_a_repeat_is_a_repeat(word, times):
    """The same word again is no news, known or not, whenever it is said to have been."""
    assert transition(StatusSnapshot(word, times[0]), StatusSnapshot(word, times[1])) is Transition.REPEAT


@pytest.mark.parametrize(
    ("current_at", "incoming_at", "verdict"),
    [
        (LATER, NOON, Transition.STALE),
        (NOON, NOON, Transition.ADVANCE),
        (NOON, LATER, Transition.ADVANCE),
        (None, NOON, Transition.ADVANCE),
        (NOON, None, Transition.ADVANCE),
        (None, None, Transition.ADVANCE),
    ],
)
@pytest.mark.parametrize("incoming", ["created", "accepted", "in_transit", "out_for_delivery"])
def test_times_decide_against_an_unknown_word(incoming, current_at, incoming_at, verdict):
    """Against a word of unknown rank, older news is late news."""
    assert transition(StatusSnapshot("at_the_depot", current_at), StatusSnapshot(incoming, incoming_at)) is verdict


@pytest.mark.parametrize("incoming", ["delivered", "cancelled"])
def test_an_end_beats_an_unknown_word(incoming):
    """A delivery that has ended has ended, also when a later word was heard first."""
    assert transition(StatusSnapshot("at_the_depot", LATER), StatusSnapshot(incoming, NOON)) is Transition.ADVANCE


def after(events, start=""):
    """Return the status after these events, if only an advance moves it."""
    standing = StatusSnapshot(start)
    for event in events:
        if transition(standing, event) is Transition.ADVANCE:
            standing = event
    return standing.status


def life(*words):
    return [StatusSnapshot(word, NOON + timedelta(minutes=minute)) for minute, word in enumerate(words)]


ROAD = ["created", "accepted", "in_transit", "out_for_delivery"]
LIVES = [
    ([*ROAD, "delivered", "delivered"], "delivered"),
    ([*ROAD[:3], "at_the_depot", "out_for_delivery", "delivered"], "delivered"),
    ([*ROAD, "out_for_delivery", "at_the_depot"], "out_for_delivery"),
    (["created", "created", "accepted", "accepted", "cancelled", "cancelled"], "cancelled"),
    (["created", "queued", "accepted", "held", "held", "cancelled"], "cancelled"),
]


@pytest.mark.parametrize(("words", "end"), LIVES)
def test_any_order_of_arrivals(words, end):
    """All 720 orders in which six events can arrive end in the same status."""
    assert {after(order) for order in permutations(life(*words))} == {end}


@pytest.mark.parametrize(("words", "end"), LIVES)
def test_any_duplication_of_arrivals(words, end):
    """Nor does it matter how often, and in what order again, they arrive."""
    events = life(*words)
    assert {after([*order, *events, *order]) for order in permutations(events)} == {end}


@pytest.mark.parametrize("end", sorted(TERMINAL))
def test_ends_absorb(end):
    """No news moves a delivery that has ended."""
    assert {after(order, end) for order in permutations(life(*CURRENT[1:7]))} == {end}


def test_the_sets():
    """A cancel is possible before the courier has the parcel, and not after."""
    assert {"", "created", "accepted"} == CANCELLABLE
    assert {"in_transit", "out_for_delivery", "delivered"} == PICKED_UP
    assert {"delivered", "cancelled"} == TERMINAL


@pytest.mark.parametrize("status", ["", "created", "accepted", "courier_assigned", "returned"])
def test_kaspi_decides_about_a_cancel(status):
    """Before pickup, and of what is new to us."""
    assert is_cancellable(status)


@pytest.mark.parametrize("status", sorted({*PICKED_UP, *TERMINAL}))
def test_a_cancel_that_cannot_work_is_not_asked_for(status):
    """The courier has it, or it has ended."""
    assert not is_cancellable(status)
