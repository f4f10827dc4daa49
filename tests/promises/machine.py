"""The state machine: whatever the shop, its workers, Kaspi, time and people do, in any order."""

import sys

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from hypothesis.strategies import sampled_from

from tests.promises import evening, ledger, promises
from tests.promises.house import House
from tests.promises.kaspi_rules import KaspiRules
from tests.promises.people_rules import PeopleRules
from tests.promises.quiet_rules import QuietRules
from tests.promises.shop_rules import ShopRules
from tests.promises.worker_rules import WorkerRules


class Machine(ShopRules, QuietRules, WorkerRules, KaspiRules, PeopleRules, RuleBasedStateMachine):
    """One run: a day in the house, with every promise checked after every step."""

    def __init__(self):
        super().__init__()
        self.house = House()
        self.house.open()

    @initialize(
        runner=sampled_from(["worker", "worker", "inline"]),
        awake=sampled_from([True, True, False]),
        replicated=sampled_from([False, False, True]),
    )
    def house_opens(self, runner, awake, replicated):
        """Only an inline runner may send from a shop's own process. Reads may go to a replica."""
        if replicated:
            self.house.read_from_a_replica()
        self.house.configure(RUNNER=runner)
        self.house.sends_inline = runner == "inline"
        self.house.workers_are_awake = awake

    @invariant()
    def the_promises_hold(self):
        """Each of them, as far as it can be seen from here; first workers that are awake have their turn."""
        if self.house.workers_are_awake:
            self.house.clock.turn(seconds=20)
            self.house.run_round()
        promises.check(self.house, ledger.read())

    def teardown(self):
        """After a run that went well Kaspi is well too, and everything comes to its end."""
        try:
            if sys.exception() is None:
                evening.settle_down(self.house)
                evening.everything_has_ended(self.house, ledger.read())
        finally:
            self.house.close()
