"""What workers do: whole rounds, and single calls whose sender is slow, late or dead."""

from functools import partial

from hypothesis.stateful import precondition, rule
from hypothesis.strategies import sampled_from

from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.services.db import run_in_transaction
from kaspi_delivery_django.services.outbox import claims, results, sender
from kaspi_delivery_django.services.outbox.leases import release_expired

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


def due_calls(system):
    return ApiCall.objects.due(system.clock.now).order_by("pk")


def has_due_calls(machine):
    return due_calls(machine.system).exists()


class WorkerRules:
    """Any number of workers, each of which may die between two steps.

    `system.held` has what a worker knows and the database does not: its claim, and the outcome once it
    has sent. A claim that is never looked at again is a dead worker.
    """

    @rule(moment=sampled_from(MOMENTS), rounds=sampled_from([0, 1, 1, 2]))
    def time_passes(self, moment, rounds):
        """For everybody at once; the workers may have been asleep."""
        self.system.clock.advance(**moment)
        for _ in range(rounds):
            self.system.run_round()

    @rule(awake=sampled_from([True, True, False]))
    def workers_wake_or_sleep(self, awake):
        """From now on one runs a round after every step; or they run only when a rule lets them."""
        self.system.workers_are_awake = awake

    @precondition(has_due_calls)
    @rule(which=WHICH, sends=sampled_from([True, False]))
    def worker_claims(self, which, sends):
        """It has a claim, and perhaps an outcome, that the database does not have."""
        due = list(due_calls(self.system).values_list("pk", flat=True))
        release_expired()
        claim = claims.claim(due[which % len(due)])
        if claim is not None:
            word = self.system.word_of(claim.delivery.external_order_id) or ()
            if not sends:  # should this worker die, the call counts as sent: the adapter is not asked again
                self.system.words_of_unsent.setdefault(claim.call.idempotency_key, word)
            self.system.held.append([claim, self._transmit(claim, word) if sends else None, word])

    @precondition(lambda self: self.system.held)
    @rule(which=WHICH)
    def held_claim_goes_on(self, which):
        """It is sent while its lease holds; its outcome is settled in time or very late."""
        claim, outcome, word = held = self.system.held.pop(which % len(self.system.held))
        if outcome is not None:
            run_in_transaction(partial(results.record, claim, outcome, 0.5))
        elif self.system.clock.now < claim.call.next_attempt_at:
            held[1] = self._transmit(claim, word)
            self.system.held.append(held)

    @precondition(lambda self: self.system.held)
    @rule()
    def workers_die(self):
        self.system.held.clear()

    def _transmit(self, claim, word):
        """Send it; the shop may have changed its mind since it was claimed."""
        self.system.witness.word_when_claimed = word
        try:
            with self.system.work():
                return sender.transmit(claim, None)
        finally:
            self.system.witness.word_when_claimed = None
