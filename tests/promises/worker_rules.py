"""What workers do: whole rounds, and single calls whose sender is slow, late or dead."""

from functools import partial

from hypothesis.stateful import precondition, rule
from hypothesis.strategies import sampled_from

from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.services.db import run_in_transaction
from kaspi_delivery_django.services.outbox import claims, results, sender

WHICH = sampled_from(range(3))
MOMENTS = (
    {"seconds": 5},
    {"seconds": 61},
    {"minutes": 6},
    {"minutes": 31},
    {"hours": 1},
    {"hours": 12},
    {"hours": 22, "minutes": 59},
    {"hours": 23},
    {"hours": 24},
    {"days": 3},
)


def due_calls(house):
    """Return the calls that a worker may claim now."""
    return ApiCall.objects.due(house.clock.now).order_by("pk")


def has_due_calls(machine):
    """Tell whether there is anything to claim."""
    return due_calls(machine.house).exists()


class WorkerRules:
    """Any number of workers, each of which may die between two steps.

    `house.held` has what a worker knows and the database does not: its claim, and the outcome once it
    has sent. A claim that is never looked at again is a dead worker.
    """

    @rule(moment=sampled_from(MOMENTS), rounds=sampled_from([0, 1, 1, 2]))
    def time_passes(self, moment, rounds):
        """For everybody at once; the workers may have been asleep."""
        self.house.clock.turn(**moment)
        for _ in range(rounds):
            self.house.run_round()

    @rule(awake=sampled_from([True, True, False]))
    def workers_wake_or_sleep(self, awake):
        """From now on one runs a round after every step; or they run only when they are told to."""
        self.house.workers_are_awake = awake

    @precondition(has_due_calls)
    @rule(which=WHICH, sends=sampled_from([True, False]))
    def worker_claims(self, which, sends):
        """It has a claim, and perhaps an outcome, that nobody else knows."""
        due = list(due_calls(self.house).values_list("pk", flat=True))
        sender.release_expired()
        claim = claims.claim(due[which % len(due)], using="default")
        if claim is not None:
            word = self.house.word_of(claim.delivery.external_order_id) or ()
            self.house.held.append([claim, self._transmit(claim, word) if sends else None, word])

    @precondition(lambda self: self.house.held)
    @rule(which=WHICH)
    def held_claim_goes_on(self, which):
        """It is sent while its lease holds; its outcome is settled in time or very late."""
        claim, outcome, word = held = self.house.held.pop(which % len(self.house.held))
        if outcome is not None:
            run_in_transaction(partial(results.record, claim, outcome, 0.5, using="default"), using="default")
        elif self.house.clock.now < claim.call.next_attempt_at:
            held[1] = self._transmit(claim, word)
            self.house.held.append(held)

    @precondition(lambda self: self.house.held)
    @rule()
    def workers_die(self):
        """With everything that they alone know."""
        self.house.held.clear()

    def _transmit(self, claim, word):
        """Send it; the shop may have changed its mind since it was claimed."""
        self.house.witness.word_when_claimed = word
        try:
            with self.house.work():
                return sender.transmit(claim, None)
        finally:
            self.house.witness.word_when_claimed = None
