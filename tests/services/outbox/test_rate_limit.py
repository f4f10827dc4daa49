"""Turns: each is given out once, to threads and to forked processes, whoever of them is killed."""

import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise

import pytest

from kaspi_delivery_django.services.outbox import rate_limit

FORK = """
import os, django
django.setup()
from kaspi_delivery_django.services.outbox.rate_limit import RateLimiter
turns = RateLimiter()
children = []
for _ in range(2):
    child = os.fork()
    if not child:
        for _ in range(50):
            os.write(1, f"{turns.acquire(0.01)}\\n".encode())
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""
HOLD = """
import os, select, django
django.setup()
from kaspi_delivery_django.services.outbox.rate_limit import RateLimiter
turns = RateLimiter()
heard, said = os.pipe()
with turns._locked():
    if not os.fork():
        turns.acquire(1)
        os.write(said, b"!")
        os._exit(0)
    early = select.select([heard], [], [], 0.3)[0]
late = select.select([heard], [], [], 20)[0]
print(len(early), len(late))
"""
KILL = """
import os, signal, django
django.setup()
from kaspi_delivery_django.services.outbox.rate_limit import RateLimiter
turns = RateLimiter()
child = os.fork()
if not child:
    with turns._locked():
        os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child, 0)
print(turns.acquire(1) > 0)
"""


@pytest.fixture(autouse=True)
def fresh():
    """Let no other test have taken turns before."""
    rate_limit.rate_limiter.cache_clear()


def run(script):
    """Run a script that forks, in a process that has no threads."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30).stdout


def test_turns_are_apart():
    """The second comes its distance after the first."""
    turns = rate_limit.RateLimiter()
    first = turns.acquire(0.5)
    assert turns.acquire(0.5) == first + 0.5


def test_a_turn_given_back_is_the_next_ones():
    """What asked nobody delays nobody."""
    turns = rate_limit.RateLimiter()
    first = turns.acquire(0.5)
    turns.release(0.5)
    assert first <= turns.acquire(0.5) < first + 0.5


def test_a_turn_that_nobody_waited_for_is_now():
    """Time that passed without requests is not made up for."""
    turns = rate_limit.RateLimiter()
    turns.acquire(0.0)
    before = time.monotonic()
    assert before <= turns.acquire(1) <= time.monotonic()


def test_forked_processes_never_share_a_turn():
    """A hundred turns of two processes are all apart."""
    turns = sorted(map(float, run(FORK).split()))
    gaps = [later - earlier for earlier, later in pairwise(turns)]
    assert len(turns) == 100
    assert min(gaps) > 0.0099


def test_one_process_waits_for_the_other():
    """Reading the next turn and writing it down are one step."""
    assert run(HOLD) == "0 1\n"


def test_a_process_that_is_killed_holds_up_nobody():
    """The kernel takes its lock back."""
    assert run(KILL) == "True\n"


def test_a_system_without_fork_needs_no_file_lock(monkeypatch):
    """As Windows is."""
    monkeypatch.delattr(os, "lockf")
    turns = rate_limit.RateLimiter()
    assert turns.acquire(0.5) + 0.5 == turns.acquire(0.5)


def test_without_a_rate_it_is_always_ones_turn(settings):
    """None is no cap."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MAX_REQUESTS_PER_SECOND": None}
    assert [rate_limit.acquire(), rate_limit.release(), rate_limit.acquire()] == [0.0, None, 0.0]


def test_the_rate_is_per_second(settings):
    """Two in a second are half a second apart."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MAX_REQUESTS_PER_SECOND": 2}
    assert rate_limit.acquire() == 0.0
    assert 0.4 < rate_limit.acquire() <= 0.5


def test_a_turn_of_the_rate_is_given_back(settings):
    """The next call goes at once."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MAX_REQUESTS_PER_SECOND": 0.01}
    rate_limit.acquire()
    rate_limit.release()
    assert rate_limit.acquire() < 1


def test_without_a_rate_all_go_together(settings):
    """There is no turn to wait for."""
    turn = rate_limit.BatchSlot()
    assert (turn.wait_s(most=32), turn.count) == (0.0, 32)


def test_a_slow_rate_lets_one_go_at_a_time(settings):
    """And a fast one as many as it has in a twentieth of a second."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MAX_REQUESTS_PER_SECOND": 10}
    assert rate_limit.batch_size(32) == 1
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MAX_REQUESTS_PER_SECOND": 200}
    assert (rate_limit.batch_size(32), rate_limit.batch_size(4)) == (10, 4)


def test_a_shared_turn_is_taken_once_and_what_was_not_used_is_given_back(settings):
    """The next turn is as far away as what was used."""
    rate_limit.rate_limiter.cache_clear()
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MAX_REQUESTS_PER_SECOND": 100}
    turn = rate_limit.BatchSlot()
    assert turn.wait_s(most=32) == 0.0
    assert turn.wait_s(most=32) == 0.0
    assert turn.count == 5
    turn.end(used=2)
    turn.end(used=0)
    assert 0.0 < turn.wait_s(most=32) <= 0.02


def test_without_a_writable_folder_turns_are_locked_in_memory(monkeypatch):
    """A container may have a read-only file system and no folder for temporary files."""
    monkeypatch.setattr(tempfile, "TemporaryFile", no_folder)
    first, second = rate_limit.RateLimiter(), rate_limit.RateLimiter()
    assert first.acquire(1) < first.acquire(1)
    assert (first._file is None, second._file is None) == (not hasattr(os, "memfd_create"),) * 2


def test_a_folder_will_do_where_there_are_no_files_in_memory(monkeypatch):
    """As on a Mac."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    turns = rate_limit.RateLimiter()
    assert turns.acquire(1) < turns.acquire(1)
    assert turns._file is not None


def test_with_neither_each_process_keeps_to_the_rate_by_itself(monkeypatch, caplog):
    """It sends all the same, and says so."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "TemporaryFile", no_folder)
    turns = rate_limit.RateLimiter()
    assert turns.acquire(1) < turns.acquire(1)
    turns.release(1)
    assert "no folder for temporary files" in caplog.text


def no_folder():
    """Raise what `tempfile` raises then."""
    raise FileNotFoundError(2, "No usable temporary directory found")
