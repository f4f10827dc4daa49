"""Decide what follows from the error of one attempt. Pure: the table of outcomes, in code."""

from dataclasses import dataclass

from kaspi_delivery_django import client
from kaspi_delivery_django.models import ApiCall, Attention
from kaspi_delivery_django.models.calls import MAX_FAILURES

State, Kind = ApiCall.State, ApiCall.Kind
FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 900.0
FAILURE_PAUSE_S = 30.0
TRIAL_INTERVAL_S = 300.0
NOT_FOUND_AGAIN_S = 12 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The call's state before this attempt. `was_unknown`: an earlier attempt may have acted already."""

    kind: str
    attempts: int = 1
    strikes: int = 0
    was_unknown: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The call's next state.

    `retry_in_s` None means no automatic retry; `pause_s` opens the account's circuit breaker; `counts` False
    leaves the number of attempts; `acted` means that Kaspi may have acted on this attempt.
    """

    state: ApiCall.State
    retry_in_s: float | None = None
    pause_s: float | None = None
    attention: Attention | None = None
    strikes: int = 0
    counts: bool = True
    acted: bool = False


DONE = Decision(state=State.DONE, acted=True)


def decide(attempt: Attempt, error: client.KaspiError, randomness: float) -> Decision:
    """Return what follows from an error. `randomness`, from 0 to 1, is the jitter."""
    again_s = backoff_s(attempt.attempts, randomness)
    back = State.UNKNOWN if attempt.was_unknown else State.DUE
    match error:
        case client.ForeignDelivery() if attempt.kind != Kind.LINK:
            return _stuck(Attention.FOREIGN_DELIVERY)
        case client.NotReached():
            return Decision(state=back, retry_in_s=again_s, strikes=attempt.strikes)
        case client.ConfigurationFault():
            pause_s = TRIAL_INTERVAL_S * (0.8 + 0.4 * randomness)
            return _paused(back, attempt, pause_s)
        case client.RateLimited():
            return _paused(back, attempt, error.retry_after_s or max(again_s, FAILURE_PAUSE_S))
    deciders = {Kind.CREATE: _create, Kind.CANCEL: _cancel, Kind.REFRESH: _refresh, Kind.LINK: _link}
    return deciders[Kind(attempt.kind)](attempt, error, again_s)


def backoff_s(attempt: int, randomness: float) -> float:
    """Return the seconds to wait after the given attempt (1, 2, …), doubling up to 15 minutes.

    `randomness` is drawn from 0 to 1: half of the delay is fixed, half of it jitter.
    """
    doublings = min(max(attempt, 1) - 1, 20)
    ceiling = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0**doublings)
    return ceiling * (0.5 + randomness / 2)


def _paused(back: ApiCall.State, attempt: Attempt, pause_s: float) -> Decision:
    return Decision(state=back, retry_in_s=0.0, pause_s=pause_s, strikes=attempt.strikes, counts=False)


def _create(attempt: Attempt, error: client.KaspiError, again_s: float) -> Decision:
    match error:
        case client.PayloadMismatch():
            return _stuck(Attention.KEY_REUSED)
        case client.InProgress() | client.UnusableAnswer():
            return _count_failure(attempt, max(again_s, FAILURE_PAUSE_S))
        case client.ServerFault(replayed=True):
            return _count_failure(attempt, again_s)
        case client.OutcomeUnknown():
            return Decision(state=State.UNKNOWN, retry_in_s=again_s, acted=True)
    return Decision(state=State.REFUSED, attention=Attention.REFUSED)


def _cancel(attempt: Attempt, error: client.KaspiError, again_s: float) -> Decision:
    match error:
        case client.OutcomeUnknown():
            return _count_failure(attempt, again_s, Attention.CANCEL_UNKNOWN)
        case client.NotFound():
            return Decision(state=State.REFUSED, attention=Attention.NOT_FOUND)
    return Decision(state=State.REFUSED, attention=Attention.CANCEL_REFUSED)


def _refresh(attempt: Attempt, error: client.KaspiError, again_s: float) -> Decision:
    match error:
        case client.OutcomeUnknown():
            return Decision(state=State.DUE, retry_in_s=again_s, strikes=attempt.strikes)
        case client.NotFound() if attempt.strikes + 1 < MAX_FAILURES:
            return Decision(state=State.DUE, retry_in_s=NOT_FOUND_AGAIN_S, strikes=attempt.strikes + 1)
    reason = Attention.NOT_FOUND if isinstance(error, client.NotFound) else Attention.REFUSED
    return Decision(state=State.STUCK, attention=reason)


def _link(attempt: Attempt, error: client.KaspiError, again_s: float) -> Decision:
    """Refuse the link when Kaspi refuses: the delivery is unchanged, and the call shows the reason."""
    if isinstance(error, client.OutcomeUnknown) and not isinstance(error, client.ForeignDelivery):
        return Decision(state=State.DUE, retry_in_s=again_s, strikes=attempt.strikes)
    return Decision(state=State.REFUSED)


def _count_failure(attempt: Attempt, again_s: float, last: Attention = Attention.OUTCOME_UNKNOWN) -> Decision:
    strikes = attempt.strikes + 1
    if strikes >= MAX_FAILURES:
        return _stuck(last, strikes)
    return Decision(state=State.UNKNOWN, retry_in_s=again_s, strikes=strikes, acted=True)


def _stuck(reason: Attention, strikes: int = 0) -> Decision:
    return Decision(state=State.STUCK, attention=reason, strikes=strikes, acted=True)
