from itertools import product

import pytest

from kaspi_delivery_django import client
from kaspi_delivery_django.models import ApiCall, Attention
from kaspi_delivery_django.services.outbox.retry_policy import Attempt, Decision, decide

State, Kind = ApiCall.State, ApiCall.Kind
JITTER = 0.5
AGAIN_S = 1.5  # after the first attempt, with this jitter

ERRORS = {
    "not reached": client.NotReached("x"),
    "401, 403, 404, 405, 3xx": client.ConfigurationFault("x"),
    "429": client.RateLimited("x", retry_after_s=7.0),
    "429 with garbage": client.RateLimited("x"),
    "other 4xx": client.Refused("x"),
    "404 of a delivery": client.NotFound("x"),
    "409 of a cancel": client.Conflict("x"),
    "409 in progress": client.InProgress("x"),
    "409 mismatch": client.PayloadMismatch("x"),
    "no whole answer": client.OutcomeUnknown("x"),
    "408, 425, 5xx": client.ServerFault("x"),
    "5xx replayed": client.ServerFault("x", replayed=True),
    "2xx without an id": client.UnusableAnswer("x"),
    "2xx of another order": client.ForeignDelivery("x"),
}
BEFORE = list(product([False, True], [0, 1, 2]))


def back(was_unknown):
    return State.UNKNOWN if was_unknown else State.DUE


def again(was_unknown, strikes):
    """Nothing has happened: the same state, after the backoff."""
    return Decision(state=back(was_unknown), retry_in_s=AGAIN_S, strikes=strikes)


def pause(pause_s):
    """Nothing has happened: the same state, once the breaker is not open; no attempt is counted."""
    return lambda was_unknown, strikes: Decision(
        state=back(was_unknown), retry_in_s=0.0, pause_s=pause_s, strikes=strikes, counts=False
    )


def unknown(was_unknown, strikes):
    """Kaspi may have acted: the same bytes again."""
    return Decision(state=State.UNKNOWN, retry_in_s=AGAIN_S, acted=True)


def count_failure(pause_s=AGAIN_S, last_reason=Attention.OUTCOME_UNKNOWN):
    """Kaspi may have acted: the same bytes again, but after the third failure staff decide."""
    last = Decision(state=State.STUCK, attention=last_reason, strikes=3, acted=True)

    def rule(was_unknown, strikes):
        next_one = Decision(state=State.UNKNOWN, retry_in_s=pause_s, strikes=strikes + 1, acted=True)
        return last if strikes == 2 else next_one

    return rule


def always(decision):
    """The same for any earlier state."""

    def rule(was_unknown, strikes):
        return decision

    return rule


def stuck(attention):
    """Kaspi may have acted, and no retry can find out: staff decide."""
    return always(Decision(state=State.STUCK, attention=attention, acted=True))


def refused(attention):
    """Kaspi refused: no automatic retry."""
    return always(Decision(state=State.REFUSED, attention=attention))


def fetch_again(was_unknown, strikes):
    """A GET is harmless: retry."""
    return Decision(state=State.DUE, retry_in_s=AGAIN_S, strikes=strikes)


def not_found(was_unknown, strikes):
    """A missing delivery is fetched twice more, over a day; then staff decide."""
    if strikes == 2:
        return Decision(state=State.STUCK, attention=Attention.NOT_FOUND)
    return Decision(state=State.DUE, retry_in_s=12 * 3600.0, strikes=strikes + 1)


def stops(was_unknown, strikes):
    """Kaspi will never answer this GET: staff decide."""
    return Decision(state=State.STUCK, attention=Attention.REFUSED)


foreign = stuck(Attention.FOREIGN_DELIVERY)
no_cancel = refused(Attention.CANCEL_REFUSED)
cancel_failure = count_failure(last_reason=Attention.CANCEL_UNKNOWN)
# outcome: create, cancel, refresh
TABLE = {
    "not reached": [again, again, again],
    "401, 403, 404, 405, 3xx": [pause(300.0)] * 3,
    "429": [pause(7.0)] * 3,
    "429 with garbage": [pause(30.0)] * 3,
    "other 4xx": [refused(Attention.REFUSED), no_cancel, stops],
    "404 of a delivery": [refused(Attention.REFUSED), refused(Attention.NOT_FOUND), not_found],
    "409 of a cancel": [refused(Attention.REFUSED), no_cancel, stops],
    "409 in progress": [count_failure(30.0), cancel_failure, fetch_again],
    "409 mismatch": [stuck(Attention.KEY_REUSED), no_cancel, stops],
    "no whole answer": [unknown, cancel_failure, fetch_again],
    "408, 425, 5xx": [unknown, cancel_failure, fetch_again],
    "5xx replayed": [count_failure(), cancel_failure, fetch_again],
    "2xx without an id": [count_failure(30.0), cancel_failure, fetch_again],
    "2xx of another order": [foreign, foreign, foreign],
}
ROWS = [
    (outcome, Attempt(kind=kind, was_unknown=was_unknown, strikes=strikes), rule(was_unknown, strikes))
    for outcome, rules in TABLE.items()
    for kind, rule in zip((Kind.CREATE, Kind.CANCEL, Kind.REFRESH), rules, strict=True)
    for was_unknown, strikes in BEFORE
]


def test_the_table_is_whole():
    """Each error class of a call has its row."""
    ours = {client.WebhookRejected, client.MalformedEvent, client.KaspiError}
    public = {getattr(client, name) for name in client.__all__}
    errors = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Exception)}
    met = {kind for kind in errors if issubclass(kind, client.KaspiError)} - ours
    assert {type(error) for error in ERRORS.values()} == met
    assert list(TABLE) == list(ERRORS)


@pytest.mark.failure_mode("create: any outcome of one attempt")
def test_decide():
    """The decision for each outcome, kind of call and earlier state."""
    for outcome, attempt, decision in ROWS:
        assert decide(attempt, ERRORS[outcome], JITTER) == decision, (outcome, attempt)


def test_an_unknown_outcome_is_never_forgotten():
    """A create that Kaspi may have acted on is unknown or stuck, never due, until Kaspi or staff decide."""
    for outcome, error in ERRORS.items():
        assert decide(Attempt(kind="create", was_unknown=True), error, JITTER).state != State.DUE, outcome
        if not error.outcome_known:
            decisions = [decide(Attempt(kind="create", strikes=strikes), error, JITTER) for strikes in range(3)]
            assert all(decision.acted for decision in decisions), outcome
            assert {decision.state for decision in decisions} <= {State.UNKNOWN, State.STUCK}, outcome


@pytest.mark.parametrize(
    ("outcome", "tries", "pauses_s"),
    [
        ("not reached", [(0, 1.0), (1, 0.0), (2, 1.0), (9, 1.0), (10_000, 0.0)], [2.0, 1.0, 4.0, 512.0, 450.0]),
        ("no whole answer", [(1, 0.0), (1, 1.0), (2, 1.0), (9, 1.0), (50, 0.0)], [1.0, 2.0, 4.0, 512.0, 450.0]),
        ("409 in progress", [(1, 0.5), (5, 0.5), (6, 0.5), (10, 0.5)], [30.0, 30.0, 48.0, 675.0]),
        ("429 with garbage", [(1, 1.0), (4, 1.0), (6, 1.0)], [30.0, 30.0, 64.0]),
        ("401, 403, 404, 405, 3xx", [(1, 0.0), (1, 0.5), (1, 1.0)], [240.0, 300.0, 360.0]),
    ],
)
@pytest.mark.failure_mode("create: 409, in progress")
@pytest.mark.failure_mode("create: 429")
@pytest.mark.failure_mode("create: key, address or version is wrong")
def test_each_pause_has_its_length_and_its_jitter(outcome, tries, pauses_s):
    """Up to a quarter of an hour; half a minute for a create in progress or a bare 429, five for a wrong key."""
    found = [decide(Attempt(kind="create", attempts=n), ERRORS[outcome], jitter) for n, jitter in tries]
    assert [decision.pause_s or decision.retry_in_s for decision in found] == pytest.approx(pauses_s)


def test_an_unknown_kind_of_call():
    """It is an error of the code, not an outcome."""
    with pytest.raises(ValueError, match="refund"):
        decide(Attempt(kind="refund"), ERRORS["other 4xx"], JITTER)
