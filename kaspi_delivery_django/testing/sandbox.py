"""What a test does with Kaspi: have due calls sent, move parcels, post webhooks, let things go wrong."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from kaspi_delivery_django import conf
from kaspi_delivery_django.lifecycle import DELIVERED
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.sandbox.courier import ROUTE
from kaspi_delivery_django.sandbox.deliveries import rfc3339
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.webhooks import Event, Sent
from kaspi_delivery_django.sandbox.world import LoggedRequest, World
from kaspi_delivery_django.services import notices
from kaspi_delivery_django.services.transactions import home
from kaspi_delivery_django.services.worker import BATCH, Worker
from kaspi_delivery_django.testing import webhooks
from kaspi_delivery_django.testing.assertions import Assertions
from kaspi_delivery_django.testing.commits import check_outermost, committed
from kaspi_delivery_django.testing.credentials import secret_of
from kaspi_delivery_django.testing.hands import Hands
from kaspi_delivery_django.testing.rows import Subject

NEVER_S = 24 * 60 * 60.0


class KaspiSandbox(Assertions):
    """Kaspi, as a test sees it. `order` is the shop's order, or one of its `Delivery` rows.

    `worlds` has the sandbox behind each account, with switches of its own. Threads may share it.
    """

    def __init__(self, worlds: Mapping[str, World], hands: Hands) -> None:
        super().__init__(worlds)
        self._hands = hands
        self._worker = Worker()
        self._posted: dict[tuple[str, str], Event] = {}

    @property
    def requests(self) -> list[LoggedRequest]:
        """Every request that Kaspi has had, account by account."""
        return [request for world in self.worlds.values() for request in list(world.requests)]

    def now(self) -> datetime:
        """Return the time that Kaspi and the package go by."""
        return self._hands.now()

    def later(self, **by: float) -> None:
        """Turn the clock of Kaspi and the package forward by a timedelta's arguments; the shop's own stays."""
        self._hands.turn(timedelta(**by))

    def send_due(self) -> int:
        """Do what `kaspi_worker` would do now, until nothing is due. Return how many requests Kaspi had.

        What failed is due again later: turn the clock. Raises `RuntimeError` inside of a transaction of the test's own.
        """
        check_outermost()
        before = len(self.requests)
        is_busy = True
        while is_busy:
            with committed():
                is_busy = bool(self._worker.run_round())
        return len(self.requests) - before

    def send_webhooks(self) -> list[Sent]:
        """Post the webhooks that Kaspi has due, through the shop's urls.py; return the attempts.

        Raises `AssertionError` when the shop does not take one, which stays due, later.
        """
        now = self._hands.timestamp()
        attempts = [sent for world in self.worlds.values() for sent in world.mailbox.deliver_due(now, webhooks.post)]
        webhooks.check_taken(attempts)
        _notify_receivers()
        return attempts

    def move(self, order: Subject, status: str, *, notes: str = "") -> Delivery:
        """Give a booked parcel any status at Kaspi, and post its webhook. Return the delivery as it is now."""
        delivery, record = self.delivery_of(order), self.booking_of(order)
        self.worlds[delivery.account].move(record.delivery_id, status, notes=notes)
        self.send_webhooks()
        return self.delivery_of(delivery)

    def deliver(self, order: Subject, *, until: str = DELIVERED) -> Delivery:
        """Take an order all the way: book it if it is not yet, and move it status by status.

        Raises `AssertionError` when it cannot be booked, or has gone further or elsewhere already.
        """
        if until not in ROUTE:
            raise ValueError(f"until must be one of {', '.join(ROUTE)}.")
        self.send_due()
        self.send_webhooks()
        steps, current = ROUTE[: ROUTE.index(until) + 1], self.booking_of(order).status
        if current not in steps:
            self._fail(order, f"it is {current} at Kaspi, and cannot become {until}")
        for status in steps[steps.index(current) + 1 :]:
            self.move(order, status)
        return self.delivery_of(order)

    def webhook(
        self,
        order: Subject,
        status: str,
        *,
        event_id: str | None = None,
        secret: str | None = None,
        signed_at: datetime | None = None,
    ) -> Any:
        """Post one webhook that Kaspi itself has not sent, and return the response of Django's test client.

        It is signed with the account's secret, now; another `secret`, or time, is how a forgery looks. The same
        `event_id` and status again are another attempt of the same event; without an id each is a new one.
        """
        delivery = self.delivery_of(order)
        event = self._event(delivery, status, event_id or f"wh_{uuid4().hex}")
        event.attempt += 1
        timestamp = str(int((signed_at or self.now()).timestamp()))
        secret = secret_of(delivery.account) if secret is None else secret
        answer = webhooks.post_signed(delivery.account, event.body(), secret=secret, timestamp=timestamp)
        _notify_receivers()
        return answer

    def fail_next(
        self, operation: str, *, status: int, times: int = 1, retry_after: int | None = None, account: str | None = None
    ) -> None:
        """Have the next create, get or cancel answered with an error, so many times."""
        self.add_fault(Fault(operation=operation, status=status, times=times, retry_after=retry_after), account=account)

    def time_out_next(self, operation: str, *, times: int = 1, account: str | None = None) -> None:
        """Have Kaspi act on the next such call, and answer too late."""
        self.add_fault(Fault(operation=operation, latency_s=NEVER_S, times=times), account=account)

    def drop_next(self, operation: str, *, acted: bool = False, times: int = 1, account: str | None = None) -> None:
        """Have the connection of the next such call reset, before Kaspi `acted` on it or after."""
        self.add_fault(Fault(operation=operation, drop="after" if acted else "before", times=times), account=account)

    def add_fault(self, fault: Fault, *, account: str | None = None) -> None:
        """Let anything go wrong that the sandbox can do; without an account, with the one there is or "default"."""
        self._world(account).faults.add(fault)

    def clear_faults(self) -> None:
        """Let everything go well again."""
        for world in self.worlds.values():
            world.faults.clear()

    def _event(self, delivery: Delivery, status: str, event_id: str) -> Event:
        now = self._hands.timestamp()
        booked = [record.delivery_id for record in self._booked(delivery)]
        data = {
            "deliveryId": delivery.delivery_id or next(iter(booked), "dlv_unknown"),
            "externalOrderId": delivery.external_order_id or "unknown",
            "status": status,
            "timestamp": rfc3339(now),
        }
        fresh = Event(event_id, delivery.account, f"delivery.{status}", data, now)
        return self._posted.setdefault((event_id, status), fresh)

    def _world(self, account: str | None) -> World:
        alias = next(iter(self.worlds)) if account is None and len(self.worlds) == 1 else account
        alias = alias or conf.DEFAULT_ACCOUNT
        if alias not in self.worlds:
            raise ValueError(f"Say which account: {', '.join(self.worlds)}.")
        return self.worlds[alias]


def _notify_receivers() -> None:
    """Send the signals that a webhook leaves to the worker, as its next round would."""
    with committed():
        notices.notify_again(limit=BATCH, using=home())
