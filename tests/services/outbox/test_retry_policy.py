from itertools import product

import pytest

from kaspi_delivery_django import client
from kaspi_delivery_django.models import ApiCall, Attention
from kaspi_delivery_django.services.outbox.retry_policy import DONE, Attempt, Decision, decide

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
    """Nothing has happened: as before, after the backoff."""
    return Decision(state=back(was_unknown), retry_in_s=AGAIN_S, strikes=strikes)


def gate(pause_s):
    """Nothing has happened: as before, when the account's gate opens; no attempt is burned."""
    return lambda was_unknown, strikes: Decision(
        state=back(was_unknown), retry_in_s=0.0, pause_s=pause_s, strikes=strikes, counts=False
    )


def unknown(was_unknown, strikes):
    """Kaspi may have acted: the same bytes again."""
    return Decision(state=State.UNKNOWN, retry_in_s=AGAIN_S, acted=True)


def strike(pause_s=AGAIN_S, last_reason=Attention.OUTCOME_UNKNOWN):
    """Kaspi may have acted: the same bytes again, but the third time a person decides."""
    last = Decision(state=State.STUCK, attention=last_reason, strikes=3, acted=True)

    def rule(was_unknown, strikes):
        next_one = Decision(state=State.UNKNOWN, retry_in_s=pause_s, strikes=strikes + 1, acted=True)
        return last if strikes == 2 else next_one

    return rule


def always(decision):
    """Whatever went before."""

    def rule(was_unknown, strikes):
        return decision

    return rule


def stuck(attention):
    """Kaspi may have acted, and no retry can tell: a person decides."""
    return always(Decision(state=State.STUCK, attention=attention, acted=True))


def refused(attention):
    """Kaspi said no: never again by itself."""
    return always(Decision(state=State.REFUSED, attention=attention))


def ask_again(was_unknown, strikes):
    """A question costs nothing: ask again."""
    return Decision(state=State.DUE, retry_in_s=AGAIN_S, strikes=strikes)


def not_found(was_unknown, strikes):
    """A delivery that is not found is asked for twice more, over a day; then a person looks."""
    if strikes == 2:
        return Decision(state=State.STUCK, attention=Attention.NOT_FOUND)
    return Decision(state=State.DUE, retry_in_s=12 * 3600.0, strikes=strikes + 1)


def gives_up(was_unknown, strikes):
    """A question that Kaspi will never answer: a person looks."""
    return Decision(state=State.STUCK, attention=Attention.REFUSED)


foreign = stuck(Attention.FOREIGN_DELIVERY)
no_cancel = refused(Attention.CANCEL_REFUSED)
cancel_strike = strike(last_reason=Attention.CANCEL_UNKNOWN)
# outcome: create, cancel, refresh
TABLE = {
    "not reached": [again, again, again],
    "401, 403, 404, 405, 3xx": [gate(300.0)] * 3,
    "429": [gate(7.0)] * 3,
    "429 with garbage": [gate(30.0)] * 3,
    "other 4xx": [refused(Attention.REFUSED), no_cancel, gives_up],
    "404 of a delivery": [refused(Attention.REFUSED), refused(Attention.NOT_FOUND), not_found],
    "409 of a cancel": [refused(Attention.REFUSED), no_cancel, gives_up],
    "409 in progress": [strike(30.0), cancel_strike, ask_again],
    "409 mismatch": [stuck(Attention.KEY_REUSED), no_cancel, gives_up],
    "no whole answer": [unknown, cancel_strike, ask_again],
    "408, 425, 5xx": [unknown, cancel_strike, ask_again],
    "5xx replayed": [strike(), cancel_strike, ask_again],
    "2xx without an id": [strike(30.0), cancel_strike, ask_again],
    "2xx of another order": [foreign, foreign, foreign],
}
ROWS = [
    pytest.param(
        Attempt(kind=kind, was_unknown=was_unknown, strikes=strikes),
        ERRORS[outcome],
        rule(was_unknown, strikes),
        id=f"{kind}: {outcome}, {'unknown' if was_unknown else 'known'} before, {strikes} strikes",
    )
    for outcome, rules in TABLE.items()
    for kind, rule in zip((Kind.CREATE, Kind.CANCEL, Kind.REFRESH), rules, strict=True)
    for was_unknown, strikes in BEFORE
]


def test_the_table_is_whole():
    """Every class of error that a call can meet has its row."""
    ours = {client.WebhookRejected, client.MalformedEvent, client.KaspiError}
    public = {getattr(client, name) for name in client.__all__}
    errors = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Exception)}
    met = {kind for kind in errors if issubclass(kind, client.KaspiError)} - ours
    assert {type(error) for error in ERRORS.values()} == met
    assert list(TABLE) == list(ERRORS)


@pytest.mark.parametrize(("attempt", "error", "decision"), ROWS)
@pytest.mark.failure_mode("create: any outcome of one attempt")
def test_decide(attempt, error, decision):
    """What follows from each outcome of each kind of call, whatever went before."""
    assert decide(attempt, error, JITTER) == decision


@pytest.mark.parametrize(("attempt", "error", "decision"), ROWS)
def test_nothing_is_lost(attempt, error, decision):
    """A call is either tried again, or a person is asked: never neither, never both."""
    decision = decide(attempt, error, JITTER)
    waits_for_a_person = decision.state in {State.STUCK, State.REFUSED}
    assert waits_for_a_person is (decision.attention is not None)
    assert waits_for_a_person is (decision.retry_in_s is None)


@pytest.mark.parametrize("outcome", [name for name, e in ERRORS.items() if not e.outcome_known])
@pytest.mark.parametrize("strikes", [0, 1, 2])
def test_an_open_outcome_is_never_forgotten(outcome, strikes):
    """A create that Kaspi may have acted on is unknown or waits for a person, never due again."""
    decision = decide(Attempt(kind="create", strikes=strikes), ERRORS[outcome], JITTER)
    assert decision.acted
    assert decision.state in {State.UNKNOWN, State.STUCK}


@pytest.mark.parametrize("outcome", ERRORS)
def test_an_unknown_create_is_never_due(outcome):
    """What was unknown stays so until Kaspi says yes or no, or a person does."""
    decision = decide(Attempt(kind="create", was_unknown=True), ERRORS[outcome], JITTER)
    assert decision.state != State.DUE


@pytest.mark.parametrize(
    ("attempts", "randomness", "delay_s"),
    [(1, 0.0, 1.0), (1, 1.0, 2.0), (2, 1.0, 4.0), (9, 1.0, 512.0), (50, 0.0, 450.0)],
)
@pytest.mark.parametrize("outcome", ["not reached", "no whole answer"])
def test_the_backoff_grows(outcome, attempts, randomness, delay_s):
    """Each attempt waits longer than the one before, up to a quarter of an hour."""
    attempt = Attempt(kind="create", attempts=attempts)
    assert decide(attempt, ERRORS[outcome], randomness).retry_in_s == delay_s


@pytest.mark.parametrize(("attempts", "pause_s"), [(1, 30.0), (5, 30.0), (6, 48.0), (10, 675.0)])
@pytest.mark.failure_mode("create: 409, in progress")
def test_a_conflict_is_given_time(attempts, pause_s):
    """Three tries of a create under way take a minute or more, and never hurry the backoff."""
    attempt = Attempt(kind="create", attempts=attempts)
    assert decide(attempt, ERRORS["409 in progress"], JITTER).retry_in_s == pause_s


@pytest.mark.parametrize(("randomness", "pause_s"), [(0.0, 240.0), (0.5, 300.0), (1.0, 360.0)])
def test_the_probe_is_jittered(randomness, pause_s):
    """A wrong key is probed about every five minutes."""
    error = ERRORS["401, 403, 404, 405, 3xx"]
    decision = decide(Attempt(kind="create"), error, randomness)
    assert decision.pause_s == pytest.approx(pause_s)


@pytest.mark.failure_mode("create: 429")
def test_a_429_without_a_time_backs_off():
    """Garbage in Retry-After means our own backoff, which grows."""
    pauses = [
        decide(Attempt(kind="create", attempts=attempts), ERRORS["429 with garbage"], 1.0).pause_s
        for attempts in (1, 4, 6)
    ]
    assert pauses == [30.0, 30.0, 64.0]


def test_done():
    """A success needs nothing more, and Kaspi has acted."""
    assert Decision(state=State.DONE, acted=True) == DONE


def test_an_unknown_kind_of_call():
    """A kind that does not exist is a mistake in the code, not an outcome."""
    with pytest.raises(ValueError, match="refund"):
        decide(Attempt(kind="refund"), ERRORS["other 4xx"], JITTER)
