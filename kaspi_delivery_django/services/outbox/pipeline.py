"""Send many calls at once: threads do HTTP only; the caller's thread claims and records.

So the database has one connection and one writer for any number of threads. Answers that arrive while it is written
to are recorded together afterwards. No other module of the services starts threads.
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
from kaspi_delivery_django.services.db import defer_or_raise
from kaspi_delivery_django.services.outbox import claims, leases, plain_bookings, rate_limit, sender
from kaspi_delivery_django.services.outbox.due_calls import DueCalls
from kaspi_delivery_django.services.outbox.leases import Claim
from kaspi_delivery_django.services.outbox.sender import log_failure, run_contained

logger = logging.getLogger(__name__)
Outcome = RemoteDelivery | KaspiError
Jobs = queue.SimpleQueue[Claim | None]
GATHER_S = 0.03
PREFETCH_S = 0.5
MAX_PREFETCH = 4
MAX_WAIT_S = 25.0  # with two exchanges of 15 s after it: less than a lease


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The outcome of a claimed call; None when the code that sends failed, or when the call was not sent."""

    claim: Claim
    outcome: Outcome | None = None
    took_s: float | None = None
    is_unsent: bool = False


class Pipeline:
    """Calls in flight over so many threads. `stop` may be called from a signal handler.

    It claims more calls than there are threads, so that no thread waits for the database: as many as are sent in
    half a second, within the rate limit. A claim that no thread has begun is released on stop, when its circuit
    breaker opens, and after `MAX_WAIT_S`: its lease must not expire while it is sent.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._stopped = threading.Event()
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._unrecorded: deque[Answer] = deque()
        self._in_flight = 0
        self._latency_s = PREFETCH_S
        self._blocked: set[str] = set()
        self._slot = rate_limit.BatchSlot()

    def stop(self) -> None:
        """Start no more calls, and finish those in flight."""
        self._stopped.set()
        self._answers.put(None)

    def run(self, *, within_s: float, not_failed_since: datetime | None = None) -> int:
        """Send due calls for so many seconds, and finish those in flight. Return the number of requests.

        Calls that failed at `not_failed_since` or later are excluded. An unavailable database ends the run; calls in
        flight are then recorded if possible, else logged.
        """
        self._blocked.clear()
        due = DueCalls(until=time.monotonic() + within_s, not_failed_since=not_failed_since)
        if not due.has_more():
            return 0
        with self._started_threads() as jobs:
            try:
                return self._work(jobs, due)
            except Exception:
                self._rescue()
                raise
            finally:
                self._slot.end(used=0)

    @contextmanager
    def _started_threads(self) -> Iterator[Jobs]:
        """Start the threads before anything is claimed for them; join them after their last jobs."""
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
            self._answers.put(self._send(claim))

    def _work(self, jobs: Jobs, due: DueCalls) -> int:
        sent = 0
        while True:
            pause_s = self._claim(jobs, due)
            if pause_s is None and not self._in_flight:
                return sent
            self._unrecorded.extend(self._gather(pause_s))
            sent += sum(answer.took_s is not None for answer in self._unrecorded)
            self._record()

    def _claim(self, jobs: Jobs, due: DueCalls) -> float | None:
        """Claim calls for the threads; return the seconds until the next claim, None if only after an answer."""
        capacity = self._capacity()
        if not capacity or not due.has_more():
            return None
        wait_s = self._slot.wait_s(most=capacity)
        if wait_s > 0:
            return wait_s
        claimed = claim_calls(due.pop(self._slot.count))
        self._slot.end(used=len(claimed))
        for claim in claimed:
            self._in_flight += 1
            jobs.put(claim)
        due.refill()  # while the threads are busy
        return 0.0

    def _capacity(self) -> int:
        """Return how many calls may be claimed now: none before it is worth a transaction, unless a thread is idle."""
        prefetch = self._prefetch()
        capacity = self._threads + prefetch - self._in_flight
        return 0 if self._stopped.is_set() or capacity <= prefetch // 4 else capacity

    def _prefetch(self) -> int:
        """Return how many calls may wait for a thread: as many as are sent in half a second within the rate limit."""
        soon = min(self._threads * PREFETCH_S / self._latency_s, rate_limit.allowed_within(PREFETCH_S))
        return int(min(max(soon, 1), MAX_PREFETCH * self._threads))

    def _send(self, claim: Claim) -> Answer:
        """Do one call's HTTP in a thread, without the database."""
        if self._must_not_send(claim):
            return Answer(claim=claim, is_unsent=True)
        began = time.monotonic()
        try:
            outcome = sender.transmit(claim)
        except Exception as err:  # noqa: BLE001  # contained to this row; `_gather` expects an answer
            log_failure(claim.call.pk, err)
            return Answer(claim=claim)
        if isinstance(outcome, ConfigurationFault | RateLimited):
            self._blocked.add(claim.account.alias)
        return Answer(claim=claim, outcome=outcome, took_s=time.monotonic() - began)

    def _must_not_send(self, claim: Claim) -> bool:
        """Return whether a claim must be released unsent."""
        is_late = time.monotonic() - claim.since_s > MAX_WAIT_S
        is_blocked = claim.account.alias in self._blocked and not claim.is_trial
        return is_late or is_blocked or self._stopped.is_set()

    def _gather(self, pause_s: float | None) -> Iterator[Answer]:
        """Wait for an answer, `pause_s` seconds at most, and for more while all threads are busy."""
        left_s = pause_s
        until = time.monotonic() + GATHER_S
        with suppress(queue.Empty):
            while True:
                answer = self._answers.get(timeout=left_s) if left_s != 0 else self._answers.get_nowait()
                if answer is not None:
                    self._in_flight -= 1
                    self._latency_s = answer.took_s or self._latency_s
                    yield answer
                is_full = self._in_flight >= self._threads
                left_s = max(0.0, until - time.monotonic()) if is_full else 0.0

    def _record(self) -> None:
        """Record the answers: plain bookings together, the others one by one."""
        recorded = _record_plain(self._unrecorded)
        while self._unrecorded:
            answer = self._unrecorded.popleft()
            claim, outcome = answer.claim, answer.outcome
            if claim.call.pk not in recorded:
                run_contained(partial(_record_answer, answer), claim.call.pk)
            if outcome is not None and answer.took_s is not None:
                sender.send_call_attempted(claim, outcome, answer.took_s)

    def _rescue(self) -> None:
        """Wait for the calls in flight, and record them if the database is available again; else log them."""
        while self._in_flight:
            self._unrecorded.extend(self._gather(None))
        close_old_connections()
        is_unavailable = False
        while self._unrecorded:
            answer = self._unrecorded.popleft()
            if is_unavailable and answer.outcome:
                sender.log_unrecorded(answer.claim, answer.outcome)
            elif not is_unavailable:
                try:
                    run_contained(partial(_record_answer, answer), answer.claim.call.pk)
                except (OperationalError, InterfaceError):  # `record` has logged the answer
                    is_unavailable = True


def claim_calls(call_pks: Sequence[int]) -> list[Claim]:
    """Claim calls together; one by one those of a breaker that is not closed, or all when one of them fails."""
    claimed, left = list[Claim](), call_pks
    try:
        claimed, left = claims.claim_many(call_pks)
    except (OperationalError, InterfaceError) as err:
        defer_or_raise(err, f"calls={len(call_pks)}")
    except Exception as err:  # noqa: BLE001  # found by claiming one by one
        logger.warning("not claimed together, one by one: error=%s", errors.describe(err))
    return [*claimed, *_claim_one_by_one(left, is_first=not claimed)]


def _claim_one_by_one(call_pks: Sequence[int], *, is_first: bool) -> Iterator[Claim]:
    """Claim one by one, for a second: the others stay due, so that those claimed are sent soon.

    An unavailable database ends it too, and is raised unless there are claims to send.
    """
    until = time.monotonic() + claims.MAX_BUILD_S
    for pk in call_pks:
        if time.monotonic() > until:
            return
        try:
            claim = run_contained(partial(claims.claim, pk), pk)
        except (OperationalError, InterfaceError):
            if is_first:
                raise
            return
        if claim is not None:
            is_first = False
            yield claim


def _record_answer(answer: Answer) -> None:
    """Record one outcome, or release the claim; after a failure of our code the lease expires as of unknown outcome."""
    if answer.is_unsent:
        leases.release(answer.claim)
    elif answer.outcome is not None:
        sender.record(answer.claim, answer.outcome)


def _record_plain(answers: Sequence[Answer]) -> set[int]:
    """Record the plain bookings together; return their calls, none when that fails."""
    found = [plain_bookings.plain_booking(answer.claim, answer.outcome) for answer in answers if answer.outcome]
    plain = [booking for booking in found if booking is not None]
    try:
        return plain_bookings.record_many(plain) if len(plain) > 1 else set()
    except (OperationalError, InterfaceError) as err:
        defer_or_raise(err, f"bookings={len(plain)}")
    except Exception as err:  # noqa: BLE001  # found by recording one by one
        logger.warning("bookings not recorded together, one by one: error=%s", errors.describe(err))
    return set()
