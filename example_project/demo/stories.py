"""The five orders: who places them, what happens, and how they must end."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from example_project.demo.browser import Browser, Page
from example_project.demo.deadline import DemoFailed
from example_project.demo.stage import LOGIN, PASSWORD, Stage
from kaspi_delivery_django.sandbox.faults import Fault

SLOW_S = 6.0
REFUSAL = 422
REASON = _("The customer called: wrong size.")
DELIVERIES = "/admin/kaspi_delivery/delivery/"
DASHBOARD = f"{DELIVERIES}dashboard/"


@dataclass(frozen=True, kw_only=True)
class Story:
    """One order to place. `ends` is its last status; empty for one that is never booked and asks for a person."""

    how: Promise
    ends: str
    customer: str
    phone: str
    address: str
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An order that was placed; `url` is its page, `number` what the shop calls it."""

    story: Story
    url: str
    number: str
    took_s: float

    @property
    def external_id(self) -> str:
        """Its name at Kaspi."""
        return f"order-{self.number}"


STRAIGHT = Story(
    how=_("delivered without trouble"),
    ends="delivered",
    customer="Aigerim Serikova",
    phone="+7 701 234 5678",
    address="Abay Avenue 52, flat 17",
    notes="Second entrance, code 17",
)
MUDDLED = Story(
    how=_("webhooks repeated and out of order"),
    ends="delivered",
    customer="Bauyrzhan Akhmetov",
    phone="8 (702) 345-67-89",
    address="Dostyk Avenue 132, office 4",
)
CANCELLED = Story(
    how=_("cancelled by staff before pickup"),
    ends="cancelled",
    customer="Dana Kim",
    phone="87473456789",
    address="Tole Bi Street 189, flat 3",
)
REFUSED = Story(
    how=_("refused by Kaspi, needs manual review"),
    ends="",
    customer="Saule Nurlanova",
    phone="+7 708 678 9012",
    address="the yellow house behind the bazaar",
)
TIMED_OUT = Story(
    how=_("no answer, though Kaspi booked it"),
    ends="delivered",
    customer="Yerlan Ospanov",
    phone="+77054567890",
    address="Al-Farabi Avenue 77, flat 210",
    notes="Please ring, the bell is broken",
)


@dataclass(frozen=True, kw_only=True)
class Play:
    """Plays the stories one after the other; `placed` fills meanwhile."""

    stage: Stage
    say: Callable[[str], Any]
    placed: list[Placed] = field(default_factory=list)

    def perform(self) -> None:
        """Place every order, and do to it what its story wants."""
        courier = self.stage.courier
        courier.muddles.add(MUDDLED.customer)
        courier.waits_for |= {CANCELLED.customer, TIMED_OUT.customer}
        customer = Browser(self.stage.shop_url)
        self._place(customer, STRAIGHT)
        self._place(customer, MUDDLED)
        _cancel_as_staff(self.stage, self._place(customer, CANCELLED))
        self.stage.kaspi.faults.add(Fault(operation="create", status=REFUSAL))
        _find_on_the_dashboard(self.stage, self._place(customer, REFUSED))
        words = gettext("Kaspi's next answer will take %(seconds)s s, longer than a customer waits")
        self.say(words % {"seconds": f"{SLOW_S:.0f}"})
        slow = Fault(operation="create", latency_s=SLOW_S)
        self.stage.kaspi.faults.add(slow)
        self._place(customer, TIMED_OUT)
        courier.waits_for.clear()

    def _place(self, customer: Browser, story: Story) -> Placed:
        began = time.monotonic()
        page = _check_out(customer, story, shelf_place=len(self.placed))
        took_s = time.monotonic() - began
        [order] = page.having("data-order")
        placed = Placed(story=story, url=page.url, number=order["data-order"], took_s=took_s)
        words = gettext("%(order)s  ordered by %(customer)s, which took %(seconds)s s")
        self.say(words % {"order": placed.external_id, "customer": story.customer, "seconds": f"{took_s:.1f}"})
        self.placed.append(placed)
        return placed


def _check_out(customer: Browser, story: Story, *, shelf_place: int) -> Page:
    shelf = customer.get("/")
    products = [a["href"] for a in shelf.having("href") if a["href"].startswith("/products/")]
    checkout = customer.get(products[shelf_place % len(products)])
    details = {
        "customer_name": story.customer,
        "phone": story.phone,
        "address": story.address,
        "courier_notes": story.notes,
    }
    page = customer.submit(checkout, checkout.form_with("customer_name"), details)
    if page.url == checkout.url:
        raise DemoFailed(gettext("The shop did not take the order of %(customer)s.") % {"customer": story.customer})
    return page


def _log_in(stage: Stage) -> Browser:
    staff = Browser(stage.shop_url)
    login = staff.get("/admin/login/")
    staff.submit(login, login.form_with("username"), {"username": LOGIN, "password": PASSWORD})
    return staff


def _find_on_the_dashboard(stage: Stage, placed: Placed) -> None:
    """See that the order is on the list for manual review."""
    wanted = _log_in(stage).get(DASHBOARD).having("href")
    if not any("attention=refused" in link["href"] for link in wanted):
        words = gettext("The dashboard does not show that %(order)s needs attention.")
        raise DemoFailed(words % {"order": placed.external_id})


def _cancel_as_staff(stage: Stage, placed: Placed) -> None:
    """Use the admin's action, from the login to the confirmation page."""
    staff = _log_in(stage)
    found = staff.get(f"{DELIVERIES}?q={placed.external_id}")
    rows = found.form_with("_selected_action")
    [row] = rows.choices["_selected_action"]
    chosen = {"action": "cancel_deliveries", "_selected_action": row}
    confirmation = staff.submit(found, rows, chosen)
    staff.submit(confirmation, confirmation.form_with("reason"), {"reason": str(REASON)})
