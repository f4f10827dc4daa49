"""The demo as its audience sees it: timelines while they happen, a summary, and a verdict."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.core.management.color import Style

from example_project.demo.browser import Browser
from example_project.demo.deadline import Deadline, DemoFailed
from example_project.demo.processes import interruptible
from example_project.demo.stage import LOGIN, PASSWORD, Stage, set_up
from example_project.demo.stories import DASHBOARD, Placed, Play
from example_project.demo.watching import Outcome, Step, Watcher
from kaspi_delivery_django.statuses import status_label

DEADLINE_S = 300.0
LOOK_EVERY_S = 0.4
PACE_S = 1.2
STROLL_S = 4.0
COLUMNS = "{:<9} {:<59} {:<19} {:<10} {:>8}  {}"


def run(*, serve: bool, say: Callable[[str], Any], style: Style) -> None:
    """Play the demo. Raises `DemoFailed` when it does not end as it should."""
    deadline = Deadline(total_s=DEADLINE_S)
    say("Starting the sandbox, the shop and a worker, on a database of their own …")
    with interruptible(), set_up(deadline, PACE_S) as stage:
        show = Show(stage=stage, say=say, style=style)
        show.play()
        if serve:
            show.serve()


@dataclass(frozen=True, kw_only=True)
class Show:
    """Prints with `say`, in the colours of `style`, which has none away from a terminal."""

    stage: Stage
    say: Callable[[str], Any]
    style: Style

    def play(self) -> None:
        """Have the orders placed, and watch them to their ends."""
        play = Play(stage=self.stage, say=self._tell)
        pool = ThreadPoolExecutor(max_workers=1)
        try:
            self._report(self._watch(play, pool.submit(play.perform)))
        finally:
            pool.shutdown(wait=False)  # it ends by itself once the shop is gone

    def serve(self) -> None:
        """Stay up for orders by hand, until Ctrl-C."""
        self.stage.courier.muddles.clear()
        self.stage.courier.pace_s = STROLL_S
        self.say(f"\nShop   {self.stage.shop_url}/")
        self.say(f"Admin  {self.stage.shop_url}/admin/  (login {LOGIN}, password {PASSWORD})")
        self.say(f"Desk   {self.stage.shop_url}{DASHBOARD}  (one delivery needs attention)")
        self.say("The courier is on the road for whatever you order. Ctrl-C ends it all.")
        try:
            while True:
                self.stage.household.check()
                time.sleep(LOOK_EVERY_S)
        except KeyboardInterrupt:
            self.say("\nEverything is stopped.")

    def _watch(self, play: Play, performed: "Future[None]") -> Sequence[Outcome]:
        """Print what the order pages show, until all is well or the time is over."""
        watcher = Watcher(browser=Browser(self.stage.shop_url), kaspi=self.stage.kaspi)
        while True:
            self.stage.household.check()
            is_told = performed.done() and performed.result() is None
            outcomes = [self._look(watcher, placed) for placed in tuple(play.placed)]
            if (is_told and self._is_settled(outcomes)) or self.stage.deadline.is_over:
                return outcomes
            time.sleep(LOOK_EVERY_S)

    def _look(self, watcher: Watcher, placed: Placed) -> Outcome:
        """Look at an order's page, and print what is new."""
        for step in watcher.look(placed):
            self._tell_step(placed, step)
        return watcher.judge(placed)

    def _is_settled(self, outcomes: Sequence[Outcome]) -> bool:
        return not self.stage.kaspi.webhooks.pending and not any(o.wrong for o in outcomes)

    def _tell(self, text: str) -> None:
        self.say(f"{self.stage.deadline.elapsed_s:5.1f} s  {text}")

    def _tell_step(self, placed: Placed, step: Step) -> None:
        status, late = step
        name = self.style.WARNING("reported late") if late else ""
        self._tell(f"{placed.external_id}  {status:<17} {status_label(status):<16} {name}".rstrip())

    def _report(self, outcomes: Sequence[Outcome]) -> None:
        headings = COLUMNS.format("order", "how", "delivery", "status", "at Kaspi", "result")
        self.say(f"\n{self.style.MIGRATE_HEADING(headings)}")
        for outcome in outcomes:
            self.say(self._row(outcome))
        wrong = [outcome.placed.external_id for outcome in outcomes if outcome.wrong]
        if wrong or self.stage.deadline.is_over:
            unsettled = ", ".join(wrong) or "the orders that were not placed"
            raise DemoFailed(f"After {DEADLINE_S:.0f} s the demo still waits for {unsettled}.")
        elapsed_s = self.stage.deadline.elapsed_s
        self.say(f"\nAll {len(outcomes)} orders ended as they should, after {elapsed_s:.1f} s.")

    def _row(self, outcome: Outcome) -> str:
        sight = outcome.sight
        result = self.style.ERROR(f"FAIL: {'; '.join(outcome.wrong)}") if outcome.wrong else self.style.SUCCESS("pass")
        known = (outcome.placed.external_id, outcome.how, sight.delivery_id or "-", sight.status or "-")
        return COLUMNS.format(*known, outcome.booked, result)
