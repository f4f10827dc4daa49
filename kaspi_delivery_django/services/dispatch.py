"""Send many calls at once: some threads do HTTP and nothing else, the caller's claims for them and settles.

So the database has one connection and one writer, whatever the number of threads, and what comes back
while something is written is written together afterwards.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections

from kaspi_delivery_django.client import KaspiError, NotReached, RemoteDelivery
from kaspi_delivery_django.services import bookings, claims, failures, outbox, pace
from kaspi_delivery_django.services.claims import Claim
from kaspi_delivery_django.services.transactions import home, is_transient

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Outcome = RemoteDelivery | KaspiError
Jobs = queue.SimpleQueue[tuple[Claim, float] | None]

LOOK_AHEAD = 500
FEW = 128
GATHER_S = 0.03
AHEAD_S = 0.5
MOST_AHEAD = 4
PATIENCE_S = 25.0  # with two exchanges of 15 s after it: less than a lease


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What became of a claimed call: `outcome` is None when the code that sends broke, `took_s` when nothing left."""

    claim: Claim
    outcome: Outcome | None
    took_s: float | None


class Dispatch:
    """Calls on their way, over so many threads. `stop` may be called from a signal handler.

    It claims some more calls than there are threads, so that no thread waits for the database: what is sent within
    half a second. What has waited for a thread for too long all the same is not sent, but due again: its lease must
    not end while it is under way.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._stopped = threading.Event()
        self._arrived: queue.SimpleQueue[Answered | None] = queue.SimpleQueue()
        self._unsettled: deque[Answered] = deque()
        self._under_way = 0
        self._lately_s = AHEAD_S
        self._turn = pace.SharedTurn()

    def stop(self) -> None:
        """Claim no more, and finish what is under way."""
        self._stopped.set()
        self._arrived.put(None)

    def run(self, *, within_s: float) -> int:
        """Send what is due, for so many seconds, and finish what is under way. Returns how many requests were made.

        A database that is away ends it. What was under way then is recorded if it can be, or else said in the log.
        """
        supply = _Supply(until=time.monotonic() + within_s)
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
        while job := jobs.get():
            self._send(*job)

    def _work(self, jobs: Jobs, supply: "_Supply") -> int:
        sent = 0
        while True:
            pause_s = self._claim(jobs, supply)
            if pause_s is None and not self._under_way:
                return sent
            self._unsettled.extend(self._gather(pause_s))
            sent += sum(answered.took_s is not None for answered in self._unsettled)
            self._settle()

    def _claim(self, jobs: Jobs, supply: "_Supply") -> float | None:
        """Claim for the threads; return in how many seconds there is more to claim, None when only an answer helps."""
        room = self._room()
        if not room or not supply.has_more():
            return None
        wait_s = self._turn.wait_s(most=room)
        if wait_s > 0:
            return wait_s
        claimed = _take(supply.next_calls(self._turn.count))
        self._turn.end(used=len(claimed))
        for claim in claimed:
            self._under_way += 1
            jobs.put((claim, time.monotonic()))
        supply.look_ahead()  # while the threads have something to do
        return 0.0

    def _room(self) -> int:
        """Return how many calls may be claimed now: none before it is worth a transaction, unless a thread is idle."""
        ahead = self._ahead()
        room = self._threads + ahead - self._under_way
        return 0 if self._stopped.is_set() or room <= ahead // 4 else room

    def _ahead(self) -> int:
        """Return how many calls may wait for a thread: as many as are sent in half a second."""
        soon = self._threads * AHEAD_S / self._lately_s
        return int(min(max(soon, 1), MOST_AHEAD * self._threads))

    def _send(self, claim: Claim, claimed_at: float) -> None:
        """Do one call's HTTP, in a thread. It asks no database."""
        outcome: Outcome | None = None
        took_s, began = None, time.monotonic()
        try:
            if began - claimed_at > PATIENCE_S:
                outcome = NotReached("waited too long for a free thread")
            else:
                outcome = outbox.transmit(claim)
                took_s = time.monotonic() - began
        except Exception as err:  # noqa: BLE001  # one bad row must not stop the others
            _say_broken(claim.call.pk, err)
        finally:  # whatever it was, somebody waits for it
            self._arrived.put(Answered(claim=claim, outcome=outcome, took_s=took_s))

    def _gather(self, pause_s: float | None) -> Iterator[Answered]:
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
            if answered.outcome is None:  # its lease ends, and then it is of unknown outcome
                continue
            if answered.claim.call.pk not in settled:
                each_alone(
                    partial(outbox.settle, answered.claim, answered.outcome, using=home()), answered.claim.call.pk
                )
            if answered.took_s is not None:
                outbox.tell(answered.claim, answered.outcome, answered.took_s)

    def _rescue(self) -> None:
        """Wait for what is under way, and record it if the database is there again."""
        while self._under_way:
            self._unsettled.extend(self._gather(None))
        close_old_connections()
        while self._unsettled:
            answered = self._unsettled.popleft()
            if answered.outcome is not None:
                with suppress(Exception):  # it is in the log
                    outbox.settle(answered.claim, answered.outcome, using=home())


class _Supply:
    """The calls that are due, each once in a run."""

    def __init__(self, *, until: float) -> None:
        self._until = until
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
        if len(self._due) >= FEW or self._is_dry:
            return
        found = [pk for pk in outbox.due_calls(limit=LOOK_AHEAD) if pk not in self._seen]
        self._seen.update(found)
        self._due.extend(found)
        self._is_dry = not found

    def next_calls(self, most: int) -> list[int]:
        """Hand out so many."""
        return [self._due.popleft() for _ in range(min(most, len(self._due)))]


def each_alone(work: Callable[[], Result], call_pk: int) -> Result | None:
    """Do something with one call. What breaks there stops no other; a database that is away is for the caller."""
    try:
        return work()
    except (OperationalError, InterfaceError) as err:
        bear(err, f"call={call_pk}")
    except Exception as err:  # noqa: BLE001  # one bad row must not stop the others
        _say_broken(call_pk, err)
    return None


def bear(err: OperationalError | InterfaceError, what: str) -> None:
    """Leave what met a deadlock or a lock timeout to a later round; a database that is away ends this one."""
    if not is_transient(err):
        raise err
    logger.warning("deferred: %s error=%s", what, failures.describe(err))


def _say_broken(call_pk: int, err: Exception) -> None:
    logger.error("call broke: call=%r error=%s", call_pk, failures.describe(err))


def _take(call_pks: Sequence[int]) -> list[Claim]:
    """Claim them together; one by one what a gate must be asked for, or all, when one of them breaks that."""
    using = home()
    claimed, left = list[Claim](), call_pks
    try:
        claimed, left = claims.take_many(call_pks, using=using)
    except (OperationalError, InterfaceError) as err:
        bear(err, f"calls={len(call_pks)}")
    except Exception as err:  # noqa: BLE001  # found out which one it is
        logger.warning("not claimed together, one by one: error=%s", failures.describe(err))
    alone = (each_alone(partial(claims.take, pk, using=using), pk) for pk in left)
    return [*claimed, *(claim for claim in alone if claim is not None)]


def _record_plain(unsettled: Sequence[Answered]) -> set[int]:
    """Record the plain bookings together; return which calls they were. Whatever breaks that, each is tried alone."""
    found = [bookings.plain(answered.claim, answered.outcome) for answered in unsettled if answered.outcome]
    plain = [booking for booking in found if booking is not None]
    try:
        return bookings.record(plain, using=home()) if len(plain) > 1 else set()
    except (OperationalError, InterfaceError) as err:
        bear(err, f"bookings={len(plain)}")
    except Exception as err:  # noqa: BLE001  # found out which one it is
        logger.warning("bookings not recorded together, one by one: error=%s", failures.describe(err))
    return set()
