"""Send many calls at once: threads do HTTP only; the caller's thread claims and records.

So the database has one connection and one writer, whatever the number of threads. Answers that arrive
while the database is written are recorded together afterwards.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db import InterfaceError, OperationalError, close_old_connections

from kaspi_delivery_django.client import ConfigurationFault, KaspiError, RateLimited, RemoteDelivery
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.db import db_alias, defer_or_raise
from kaspi_delivery_django.services.outbox import claims, plain_bookings, rate_limit, sender
from kaspi_delivery_django.services.outbox.claims import Claim
from kaspi_delivery_django.services.outbox.sender import log_broken, run_contained

logger = logging.getLogger(__name__)
READ_AHEAD = 500
REFILL_BELOW = 128


class DueCalls:
    """The calls that are due, each once in a run; without those that failed since a moment, if one is given."""

    def __init__(self, *, until: float, not_failed_since: datetime | None = None) -> None:
        self._until = until
        self._not_failed_since = not_failed_since
        self._due: deque[int] = deque()
        self._seen: set[int] = set()
        self._is_dry = False

    def has_more(self) -> bool:
        """Tell whether there is one to try, and time for it."""
        if time.monotonic() >= self._until:
            return False
        self.look_ahead()
        return bool(self._due)

    def look_ahead(self) -> None:
        """Look for more when there are few left, until nothing new is found."""
        if len(self._due) >= REFILL_BELOW or self._is_dry:
            return
        due = sender.due_calls(limit=READ_AHEAD, not_failed_since=self._not_failed_since)
        found = [pk for pk in due if pk not in self._seen]
        self._seen.update(found)
        self._due.extend(found)
        self._is_dry = not found

    def next_calls(self, most: int) -> list[int]:
        """Hand out so many."""
        return [self._due.popleft() for _ in range(min(most, len(self._due)))]


def claim_calls(call_pks: Sequence[int]) -> list[Claim]:
    """Claim them together; one by one what a gate must be asked for, or all, when one of them breaks that."""
    using = db_alias()
    claimed, left = list[Claim](), call_pks
    try:
        claimed, left = claims.claim_many(call_pks, using=using)
    except (OperationalError, InterfaceError) as err:
        defer_or_raise(err, f"calls={len(call_pks)}")
    except Exception as err:  # noqa: BLE001  # found out which one it is
        logger.warning("not claimed together, one by one: error=%s", errors.describe(err))
    return [*claimed, *_claim_one_by_one(left, is_first=not claimed)]


def _claim_one_by_one(call_pks: Sequence[int], *, is_first: bool) -> Iterator[Claim]:
    """Claim one by one, for a second: then the others stay due, because what is claimed already waits to be sent.

    A database that goes away ends it too, and is for the caller unless that has claims to send.
    """
    until = time.monotonic() + claims.MAX_BUILD_S
    for pk in call_pks:
        if time.monotonic() > until:
            return
        try:
            claim = run_contained(partial(claims.claim, pk, using=db_alias()), pk)
        except (OperationalError, InterfaceError):
            if is_first:
                raise
            return
        if claim is not None:
            is_first = False
            yield claim


Outcome = RemoteDelivery | KaspiError
Jobs = queue.SimpleQueue[Claim | None]
GATHER_S = 0.03
PREFETCH_S = 0.5
MAX_PREFETCH = 4
MAX_WAIT_S = 25.0  # with two exchanges of 15 s after it: less than a lease


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a claimed call: None for both when the code that sends broke, or when it is to be given back."""

    claim: Claim
    outcome: Outcome | None = None
    took_s: float | None = None
    is_unsent: bool = False


class Pipeline:
    """Calls on their way, over so many threads. `stop` may be called from a signal handler.

    It claims some more calls than there are threads, so that no thread waits for the database: what is sent within
    half a second, and may be. What no thread has begun is given back at a stop, when its gate is closed meanwhile, and
    after too long a wait: its lease must not end while it is under way.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._stopped = threading.Event()
        self._arrived: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._unsettled: deque[Answer] = deque()
        self._under_way = 0
        self._lately_s = PREFETCH_S
        self._closed: set[str] = set()
        self._turn = rate_limit.BatchSlot()

    def stop(self) -> None:
        """Begin no more, and finish what is under way."""
        self._stopped.set()
        self._arrived.put(None)

    def run(self, *, within_s: float, not_failed_since: datetime | None = None) -> int:
        """Send what is due, for so many seconds, and finish what is under way. Returns how many requests were made.

        A call that failed at `not_failed_since` or later is left out. A database that is away ends it. What was under
        way then is recorded if it can be, or else said in the log.
        """
        self._closed.clear()
        supply = DueCalls(until=time.monotonic() + within_s, not_failed_since=not_failed_since)
        if not supply.has_more():
            return 0
        with self._crew() as jobs:
            try:
                return self._work(jobs, supply)
            except Exception:
                self._rescue()
                raise
            finally:
                self._turn.end(used=0)

    @contextmanager
    def _crew(self) -> Iterator[Jobs]:
        """Start the threads, before anything is claimed for them; end them when they have done what they have."""
        jobs: Jobs = queue.SimpleQueue()
        started = []
        try:
            for number in range(self._threads):
                thread = threading.Thread(target=self._serve, args=(jobs,), name=f"kaspi-http-{number}")
                thread.start()
                started.append(thread)
            yield jobs
        finally:
            for _thread in started:
                jobs.put(None)
            for thread in started:
                thread.join()

    def _serve(self, jobs: Jobs) -> None:
        while claim := jobs.get():
            self._arrived.put(self._send(claim))

    def _work(self, jobs: Jobs, supply: DueCalls) -> int:
        sent = 0
        while True:
            pause_s = self._claim(jobs, supply)
            if pause_s is None and not self._under_way:
                return sent
            self._unsettled.extend(self._gather(pause_s))
            sent += sum(answered.took_s is not None for answered in self._unsettled)
            self._settle()

    def _claim(self, jobs: Jobs, supply: DueCalls) -> float | None:
        """Claim for the threads; return in how many seconds there is more to claim, None when only an answer helps."""
        room = self._room()
        if not room or not supply.has_more():
            return None
        wait_s = self._turn.wait_s(most=room)
        if wait_s > 0:
            return wait_s
        claimed = claim_calls(supply.next_calls(self._turn.count))
        self._turn.end(used=len(claimed))
        for claim in claimed:
            self._under_way += 1
            jobs.put(claim)
        supply.look_ahead()  # while the threads have something to do
        return 0.0

    def _room(self) -> int:
        """Return how many calls may be claimed now: none before it is worth a transaction, unless a thread is idle."""
        ahead = self._ahead()
        room = self._threads + ahead - self._under_way
        return 0 if self._stopped.is_set() or room <= ahead // 4 else room

    def _ahead(self) -> int:
        """Return how many calls may wait for a thread: as many as are sent in half a second, and may be."""
        soon = min(self._threads * PREFETCH_S / self._lately_s, rate_limit.allowed_within(PREFETCH_S))
        return int(min(max(soon, 1), MAX_PREFETCH * self._threads))

    def _send(self, claim: Claim) -> Answer:
        """Do one call's HTTP, in a thread. It asks no database."""
        if self._has_to_wait(claim):
            return Answer(claim=claim, is_unsent=True)
        began = time.monotonic()
        try:
            outcome = sender.transmit(claim)
        except Exception as err:  # noqa: BLE001  # one bad row must not stop the others; somebody waits for an answer
            log_broken(claim.call.pk, err)
            return Answer(claim=claim)
        if isinstance(outcome, ConfigurationFault | RateLimited):
            self._closed.add(claim.account.alias)
        return Answer(claim=claim, outcome=outcome, took_s=time.monotonic() - began)

    def _has_to_wait(self, claim: Claim) -> bool:
        """Tell whether a claimed call must not be sent now."""
        is_late = time.monotonic() - claim.since_s > MAX_WAIT_S
        is_behind_gate = claim.account.alias in self._closed and not claim.is_trial
        return is_late or is_behind_gate or self._stopped.is_set()

    def _gather(self, pause_s: float | None) -> Iterator[Answer]:
        """Wait for an answer, `pause_s` seconds at most, and for more while all threads have something to do."""
        left_s = pause_s
        until = time.monotonic() + GATHER_S
        with suppress(queue.Empty):
            while True:
                answered = self._arrived.get(timeout=left_s) if left_s != 0 else self._arrived.get_nowait()
                if answered is not None:
                    self._under_way -= 1
                    self._lately_s = answered.took_s or self._lately_s
                    yield answered
                is_full = self._under_way >= self._threads
                left_s = max(0.0, until - time.monotonic()) if is_full else 0.0

    def _settle(self) -> None:
        """Write down what became of the calls: plain bookings together, the others one by one."""
        settled = _record_plain(self._unsettled)
        while self._unsettled:
            answered = self._unsettled.popleft()
            claim, outcome = answered.claim, answered.outcome
            if claim.call.pk not in settled:
                run_contained(partial(_record_answer, answered), claim.call.pk)
            if outcome is not None and answered.took_s is not None:
                sender.send_call_attempted(claim, outcome, answered.took_s)

    def _rescue(self) -> None:
        """Wait for what is under way, and record it if the database is there again; else say it in the log."""
        while self._under_way:
            self._unsettled.extend(self._gather(None))
        close_old_connections()
        is_away = False
        while self._unsettled:
            answered = self._unsettled.popleft()
            if is_away and answered.outcome:
                sender.log_unrecorded(answered.claim, answered.outcome)
            elif not is_away:
                is_away = not _is_recorded(answered)


def _record_answer(answered: Answer) -> None:
    """Record one answer, or give the call back; one whose code broke is of unknown outcome when its lease ends."""
    if answered.is_unsent:
        claims.release(answered.claim, using=db_alias())
    elif answered.outcome is not None:
        sender.record(answered.claim, answered.outcome, using=db_alias())


def _is_recorded(answered: Answer) -> bool:
    """Record it, and tell whether the database is there."""
    try:
        run_contained(partial(_record_answer, answered), answered.claim.call.pk)
    except (OperationalError, InterfaceError):  # an answer is in the log
        return False
    return True


def _record_plain(unsettled: Sequence[Answer]) -> set[int]:
    """Record the plain bookings together; return which calls they were. Whatever breaks that, each is tried alone."""
    found = [
        plain_bookings.plain_booking(answered.claim, answered.outcome) for answered in unsettled if answered.outcome
    ]
    plain = [booking for booking in found if booking is not None]
    try:
        return plain_bookings.record_many(plain, using=db_alias()) if len(plain) > 1 else set()
    except (OperationalError, InterfaceError) as err:
        defer_or_raise(err, f"bookings={len(plain)}")
    except Exception as err:  # noqa: BLE001  # found out which one it is
        logger.warning("bookings not recorded together, one by one: error=%s", errors.describe(err))
    return set()
