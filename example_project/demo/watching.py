"""What the customers' pages say, and whether every order ended as its story wants."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.utils.translation import gettext

from example_project.demo.browser import Browser
from example_project.demo.stories import MUDDLED, REFUSAL, REFUSED, SLOW_S, TIMED_OUT, Placed
from kaspi_delivery_django.sandbox.api import FakeKaspi, LoggedRequest
from kaspi_delivery_django.sandbox.deliveries import ROUTE

Step = tuple[str, bool]


@dataclass(frozen=True, kw_only=True)
class Sight:
    """An order's page at one moment: `steps` are the statuses, each with whether it was late.

    `tracking` is the path of the page that the shop sends to the customer.
    """

    status: str = ""
    delivery_id: str = ""
    steps: tuple[Step, ...] = ()
    tracking: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an order stands, in the shop and at Kaspi; `wrong` is empty when all is as it should."""

    placed: Placed
    how: str
    sight: Sight
    booked: int
    wrong: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Looks at the order pages as their customers do."""

    browser: Browser
    kaspi: FakeKaspi
    last: dict[str, Sight] = field(default_factory=dict)

    def look(self, placed: Placed) -> Iterator[Step]:
        """Open an order's page; yield the steps that were not there before."""
        page = self.browser.get(placed.url)
        [frame] = page.having("data-delivery")
        rows = [(row["data-kaspi-step"], row["class"]) for row in page.having("data-kaspi-step")]
        steps = tuple((status, "kaspi-late" in how) for status, how in rows if "kaspi-ahead" not in how)
        before = self.last.get(placed.url, Sight())
        self.last[placed.url] = Sight(
            status=frame["data-status"],
            delivery_id=frame["data-delivery"],
            steps=steps,
            tracking=next((link["href"] for link in page.having("data-tracking")), ""),
        )
        yield from (Counter(steps) - Counter(before.steps)).elements()

    def outcome_of(self, placed: Placed) -> Outcome:
        """Compare the shop's word with Kaspi's, and both with the story."""
        sight = self.last.get(placed.url, Sight())
        return Outcome(
            placed=placed,
            how=str(placed.story.how) + _healed(placed, sight, self.kaspi),
            sight=sight,
            booked=len(self.kaspi.deliveries_for(placed.external_id)),
            wrong=tuple(_faults(placed, sight, self.kaspi)),
        )


def _faults(placed: Placed, sight: Sight, kaspi: FakeKaspi) -> Iterator[str]:
    records = kaspi.deliveries_for(placed.external_id)
    ends = placed.story.ends
    if len(records) != bool(ends):
        yield gettext("Kaspi has %(count)s deliveries") % {"count": len(records)}
    if [record.delivery_id for record in records] != [sight.delivery_id] * bool(ends):
        yield gettext("the shop does not have Kaspi's delivery id")
    if any(record.status != ends for record in records):
        yield gettext("at Kaspi it is not %(status)s") % {"status": ends}
    if sight.status != ends:
        yield gettext("in the shop it is not %(status)s") % {"status": ends}
    if ends == "delivered" and sorted(status for status, _ in sight.steps) != sorted(ROUTE):
        yield gettext("the timeline is not whole")
    yield from _unproven(placed, sight, kaspi)


def _unproven(placed: Placed, sight: Sight, kaspi: FakeKaspi) -> Iterator[str]:
    """Yield what the story claims and did not happen."""
    any_late = any(late for _, late in sight.steps)
    if placed.story is MUDDLED and not any_late:
        yield gettext("no webhook came late")
    if placed.story is MUDDLED and not _came_twice(sight, kaspi):
        yield gettext("no webhook came twice")
    if placed.story is TIMED_OUT and (len(kaspi.faults) or placed.took_s >= SLOW_S):
        yield gettext("the booking did not time out")
    if placed.story is REFUSED and not any(call.status == REFUSAL for call in _creates(placed, kaspi)):
        yield gettext("Kaspi did not refuse it")


def _came_twice(sight: Sight, kaspi: FakeKaspi) -> bool:
    ours = [sent for sent in kaspi.webhooks.sent if sight.delivery_id.encode() in sent.body]
    return max(Counter(sent.event_id for sent in ours).values(), default=0) > 1


def _healed(placed: Placed, sight: Sight, kaspi: FakeKaspi) -> str:
    """Return what brought the shop the delivery id that the lost response had."""
    if placed.story is not TIMED_OUT or not sight.delivery_id:
        return ""
    if len(_creates(placed, kaspi)) == 1:
        return gettext(", resolved by the webhook")
    return gettext(", resolved by the second request")


def _creates(placed: Placed, kaspi: FakeKaspi) -> list[LoggedRequest]:
    return [call for call in kaspi.requests if call.idempotency_key == placed.external_id]
