"""Act as Kaspi in a test: send due calls, move deliveries, post webhooks, cause faults."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.core import mail

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.sandbox.api import FakeKaspi, LoggedRequest
from kaspi_delivery_django.sandbox.deliveries import ROUTE, rfc3339
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.sandbox.webhooks import Attempt, Event
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.deliveries import notifications
from kaspi_delivery_django.services.outbox.worker import BATCH, Worker
from kaspi_delivery_django.statuses import DELIVERED
from kaspi_delivery_django.testing import webhooks
from kaspi_delivery_django.testing.assertions import Assertions, Subject
from kaspi_delivery_django.testing.cassettes import Cassettes, advance_to_webhooks, choose
from kaspi_delivery_django.testing.clock import FakeClock
from kaspi_delivery_django.testing.environment import (
    check_no_transaction,
    committed,
    fake_settings,
    no_network,
    secret_of,
)

TIMEOUT_S = 24 * 60 * 60.0  # longer than every client waits

_is_open = threading.Lock()


@contextmanager
def kaspi_sandbox(
    *,
    runner: str = "worker",
    record: str | Path | None = None,
    replay: str | Path | None = None,
    account: str | None = None,
) -> Iterator["KaspiSandbox"]:
    """Replace Kaspi for the length of a test.

    Each account of KASPI_DELIVERY has a `FakeKaspi` in memory. Inside, the settings have fake keys, secrets and
    URLs, and no `KaspiClient` of this process reaches a network, the shop's own included. With the `runner` "worker",
    nothing is sent until the test sends it, whatever runner the shop has.

    `record` is a file to which the test's requests and webhooks are written at its end. `replay` is such a file: Kaspi
    then does what it did there. A request that it does not have, and one that was not made, raise `AssertionError`.
    With several accounts, `account` names the one that has the cassette.

    Raises `RuntimeError` when another sandbox
    is open in this process, and outside of tests, where its rows would be the shop's own.
    """
    if not hasattr(mail, "outbox"):  # set by Django's test runner and pytest-django
        raise RuntimeError("A Kaspi sandbox is for tests: call django.test.utils.setup_test_environment() first.")
    if not _is_open.acquire(blocking=False):
        raise RuntimeError("A Kaspi sandbox is open in this process already: use that one, or close it first.")
    try:
        fake_clock = FakeClock()
        cassette = Cassettes(record, replay, account)
        fakes = cassette.open(fake_clock)
        with fake_settings(runner), clock.replaced(fake_clock.now), no_network(fakes.values()):
            yield KaspiSandbox(fakes, fake_clock, cassette)
        cassette.close(fakes)
    finally:
        _is_open.release()


class KaspiSandbox(Assertions):
    """Kaspi in a test; thread-safe. `order` is the shop's order, or one of its `Delivery` rows.

    `fakes` has the `FakeKaspi` of each account, for its own options.
    """

    def __init__(self, fakes: Mapping[str, FakeKaspi], fake_clock: FakeClock, cassette: Cassettes) -> None:
        super().__init__(fakes)
        self._cassette = cassette
        self._clock = fake_clock
        self._worker = Worker()
        self._posted: dict[tuple[str, str], Event] = {}

    @property
    def requests(self) -> list[LoggedRequest]:
        """Every request that Kaspi received, account by account."""
        return [request for fake in self.fakes.values() for request in list(fake.requests)]

    def now(self) -> datetime:
        """Return the time of Kaspi and the package."""
        return self._clock.now()

    def later(self, **by: float) -> None:
        """Move the clock of Kaspi and the package forward by a timedelta's arguments; not the shop's own."""
        self._clock.advance(timedelta(**by))

    def send_due(self) -> int:
        """Do the work of `kaspi_worker` until nothing is due; return the number of requests to Kaspi.

        A failed call is due again `later`. Raises `RuntimeError` inside a transaction of the test.
        """
        check_no_transaction()
        before = len(self.requests)
        is_busy = True
        while is_busy:
            with committed():
                is_busy = bool(self._worker.run_round())
        self._cassette.check(self.fakes)
        return len(self.requests) - before

    def send_webhooks(self) -> list[Attempt]:
        """Post the webhooks that are due, through the shop's urls.py; return the attempts.

        Raises `AssertionError` when the shop does not accept one, which is then due again later.
        """
        advance_to_webhooks(self.fakes, self._clock)
        now = self._clock.timestamp()
        attempts = [sent for fake in self.fakes.values() for sent in fake.webhooks.deliver_due(now, webhooks.post)]
        webhooks.check_accepted(attempts)
        _notify_receivers()
        return attempts

    def move(self, order: Subject, status: str, *, notes: str = "") -> Delivery:
        """Set any status of a booked delivery at Kaspi and post its webhook; return the current `Delivery`."""
        delivery, record = self.delivery_of(order), self.booking_of(order)
        self.fakes[delivery.account].move(record.delivery_id, status, notes=notes)
        self.send_webhooks()
        return self.delivery_of(delivery)

    def deliver(self, order: Subject, *, until: str = DELIVERED) -> Delivery:
        """Book the order if it is not booked, and move it status by status; return the current `Delivery`.

        Raises `AssertionError` when it cannot be booked, or when its status is past `until` or off the route.
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
        """Post one webhook that Kaspi has not sent; return the response of Django's test client.

        It is signed with the account's secret, now; pass another `secret` or `signed_at` for a forgery. The same
        `event_id` and status again are another attempt of the same event; without an id each is a new event.
        """
        delivery = self.delivery_of(order)
        event = self._event(delivery, status, event_id or f"wh_{uuid4().hex}")
        event.attempt += 1
        timestamp = str(int((signed_at or self.now()).timestamp()))
        secret = secret_of(delivery.account) if secret is None else secret
        response = webhooks.post_signed(delivery.account, event.body(), secret=secret, timestamp=timestamp)
        _notify_receivers()
        return response

    def fail_next(
        self, operation: str, *, status: int, times: int = 1, retry_after: int | None = None, account: str | None = None
    ) -> None:
        """Make Kaspi respond with an error to the next `times` creates, gets or cancels."""
        self.add_fault(Fault(operation=operation, status=status, times=times, retry_after=retry_after), account=account)

    def time_out_next(self, operation: str, *, times: int = 1, account: str | None = None) -> None:
        """Make Kaspi process the next call and respond after the client's timeout."""
        self.add_fault(Fault(operation=operation, latency_s=TIMEOUT_S, times=times), account=account)

    def drop_next(self, operation: str, *, acted: bool = False, times: int = 1, account: str | None = None) -> None:
        """Reset the connection of the next call, before or after Kaspi `acted` on it."""
        self.add_fault(Fault(operation=operation, drop="after" if acted else "before", times=times), account=account)

    def add_fault(self, fault: Fault, *, account: str | None = None) -> None:
        """Add any fault of the sandbox; without an account to the only one, or to "default"."""
        self._fake(account).faults.add(fault)

    def clear_faults(self) -> None:
        """Remove every fault."""
        for fake in self.fakes.values():
            fake.faults.clear()

    def _event(self, delivery: Delivery, status: str, event_id: str) -> Event:
        now = self._clock.timestamp()
        booked = [record.delivery_id for record in self._booked(delivery)]
        data = {
            "deliveryId": delivery.delivery_id or next(iter(booked), "dlv_unknown"),
            "externalOrderId": delivery.external_order_id or "unknown",
            "status": status,
            "timestamp": rfc3339(now),
        }
        fresh = Event(event_id, delivery.account, f"delivery.{status}", data, now)
        return self._posted.setdefault((event_id, status), fresh)

    def _fake(self, account: str | None) -> FakeKaspi:
        return self.fakes[choose(list(self.fakes), account)]


def _notify_receivers() -> None:
    """Send the signals that a webhook leaves to the worker's next round."""
    with committed():
        notifications.notify_pending(limit=BATCH)
