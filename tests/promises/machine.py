"""The state machine: whatever the shop, its workers, Kaspi, time and staff do, in any order."""

import sys

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from hypothesis.strategies import sampled_from

from tests.promises import ledger, promises, scenario
from tests.promises.kaspi_rules import KaspiRules
from tests.promises.shop_rules import ShopRules
from tests.promises.staff_rules import StaffRules
from tests.promises.system import System
from tests.promises.worker_rules import WorkerRules


class Machine(ShopRules, WorkerRules, KaspiRules, StaffRules, RuleBasedStateMachine):
    """One run: a day in the system, with every promise checked after every step."""

    def __init__(self):
        super().__init__()
        self.system = System()
        self.system.open()

    @initialize(
        runner=sampled_from(["worker", "worker", "inline"]),
        awake=sampled_from([True, True, False]),
    )
    def shop_opens(self, runner, awake):
        """Only an inline runner may send from a shop's own process."""
        self.system.configure(RUNNER=runner)
        self.system.sends_inline = runner == "inline"
        self.system.workers_are_awake = awake

    @invariant()
    def the_promises_hold(self):
        """Each of them, as far as it can be seen from here; first workers that are awake have their turn."""
        if self.system.workers_are_awake:
            self.system.clock.advance(seconds=20)
            self.system.run_round()
        promises.check(self.system, ledger.read())

    def teardown(self):
        """After a run that went well Kaspi is well too, and everything comes to its end."""
        try:
            if sys.exception() is None:
                scenario.settle_down(self.system)
                scenario.everything_has_ended(self.system, ledger.read())
        finally:
            self.system.close()
