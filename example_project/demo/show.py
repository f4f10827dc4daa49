"""The demo as its audience sees it: timelines while they happen, a summary, and a result."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.core.management.color import Style
from django.utils.translation import gettext, pgettext

from example_project.demo.browser import Browser
from example_project.demo.deadline import Deadline, DemoFailed, still_waits
from example_project.demo.processes import interruptible
from example_project.demo.stage import LOGIN, PASSWORD, Stage, set_up
from example_project.demo.stories import DASHBOARD, Placed, Play
from example_project.demo.watching import Outcome, Step, Watcher
from kaspi_delivery_django.statuses import status_label

DEADLINE_S = 300.0
LOOK_EVERY_S = 0.4
PACE_S = 1.2
STROLL_S = 4.0
NAME_WIDTH = 15
COLUMNS = "{:<9} {:<59} {:<19} {:<10} {:>8}  {}"


def run(*, serve: bool, say: Callable[[str], Any], style: Style) -> None:
    """Play the demo. Raises `DemoFailed` when it does not end as it should."""
    deadline = Deadline(total_s=DEADLINE_S)
    say(gettext("Starting the sandbox, the shop and a worker, on a database of their own …"))
    with interruptible(), set_up(deadline, PACE_S) as stage:
        show = Show(stage=stage, say=say, style=style)
        outcomes = show.play()
        if serve:
            show.serve(outcomes)


@dataclass(frozen=True, kw_only=True)
class Show:
    """Prints with `say`, in the colours of `style`, which has none away from a terminal."""

    stage: Stage
    say: Callable[[str], Any]
    style: Style

    def play(self) -> Sequence[Outcome]:
        """Have the orders placed, watch them to their ends, and return how they ended."""
        play = Play(stage=self.stage, say=self._print)
        pool = ThreadPoolExecutor(max_workers=1)
        try:
            outcomes = self._watch(play, pool.submit(play.perform))
            self._report(outcomes)
            return outcomes
        finally:
            pool.shutdown(wait=False)  # it ends by itself once the shop is gone

    def serve(self, outcomes: Sequence[Outcome]) -> None:
        """Stay up for orders by hand, until Ctrl-C."""
        self.stage.courier.muddles.clear()
        self.stage.courier.pace_s = STROLL_S
        for line in self._addresses(outcomes):
            self.say(line)
        self.say(gettext("The courier delivers whatever you order. Ctrl-C stops everything."))
        try:
            while True:
                self.stage.processes.check()
                time.sleep(LOOK_EVERY_S)
        except KeyboardInterrupt:
            self.say("\n" + gettext("Everything is stopped."))

    def _addresses(self, outcomes: Sequence[Outcome]) -> Iterator[str]:
        """Yield the addresses to open, with what is there."""
        shop, [first, *_] = self.stage.shop_url, outcomes
        login = gettext("login %(login)s, password %(password)s") % {"login": LOGIN, "password": PASSWORD}
        order = gettext("what the customer of %(order)s follows") % {"order": first.placed.external_id}
        attention = gettext("one delivery needs attention")
        yield f"\n{gettext('Shop'):<{NAME_WIDTH}} {shop}/"
        yield f"{gettext('Tracking'):<{NAME_WIDTH}} {shop}{first.sight.tracking}  ({order})"
        yield f"{gettext('Admin'):<{NAME_WIDTH}} {shop}/admin/  ({login})"
        yield f"{pgettext('demo', 'Dashboard'):<{NAME_WIDTH}} {shop}{DASHBOARD}  ({attention})"

    def _watch(self, play: Play, performed: "Future[None]") -> Sequence[Outcome]:
        """Print what the order pages show, until all is well or the time is over."""
        watcher = Watcher(browser=Browser(self.stage.shop_url), kaspi=self.stage.kaspi)
        while True:
            self.stage.processes.check()
            is_played = performed.done() and performed.result() is None
            outcomes = [self._look(watcher, placed) for placed in tuple(play.placed)]
            if (is_played and self._have_ended(outcomes)) or self.stage.deadline.is_over:
                return outcomes
            time.sleep(LOOK_EVERY_S)

    def _look(self, watcher: Watcher, placed: Placed) -> Outcome:
        """Look at an order's page, and print what is new."""
        for step in watcher.look(placed):
            self._print_step(placed, step)
        return watcher.outcome_of(placed)

    def _have_ended(self, outcomes: Sequence[Outcome]) -> bool:
        return not self.stage.kaspi.webhooks.pending and not any(o.wrong for o in outcomes)

    def _print(self, text: str) -> None:
        elapsed = gettext("%(seconds)s s") % {"seconds": f"{self.stage.deadline.elapsed_s:5.1f}"}
        self.say(f"{elapsed}  {text}")

    def _print_step(self, placed: Placed, step: Step) -> None:
        status, late = step
        name = self.style.WARNING(gettext("reported late")) if late else ""
        self._print(f"{placed.external_id}  {status:<17} {status_label(status):<16} {name}".rstrip())

    def _report(self, outcomes: Sequence[Outcome]) -> None:
        names = [gettext("order"), gettext("how"), gettext("delivery"), gettext("status")]
        headings = COLUMNS.format(*names, gettext("at Kaspi"), gettext("result"))
        self.say(f"\n{self.style.MIGRATE_HEADING(headings)}")
        for outcome in outcomes:
            self.say(self._row(outcome))
        wrong = [outcome.placed.external_id for outcome in outcomes if outcome.wrong]
        if wrong or self.stage.deadline.is_over:
            missing = ", ".join(wrong) or gettext("the orders that were not placed")
            raise DemoFailed(still_waits(DEADLINE_S, missing))
        elapsed = {"count": len(outcomes), "seconds": f"{self.stage.deadline.elapsed_s:.1f}"}
        self.say("\n" + gettext("All %(count)s orders ended as they should, after %(seconds)s s.") % elapsed)

    def _row(self, outcome: Outcome) -> str:
        sight = outcome.sight
        result = self.style.SUCCESS(gettext("pass"))
        if outcome.wrong:
            result = self.style.ERROR(gettext("FAIL: %(reasons)s") % {"reasons": "; ".join(outcome.wrong)})
        known = (outcome.placed.external_id, outcome.how, sight.delivery_id or "-", sight.status or "-")
        return COLUMNS.format(*known, outcome.booked, result)
