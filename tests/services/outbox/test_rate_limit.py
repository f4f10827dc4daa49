"""The rate limit: each slot is for one thread or forked process, also when one of them is killed."""

import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from unittest.mock import Mock

import pytest

from kaspi_delivery_django.services.outbox import rate_limit
from tests.conftest import PATIENCE_S

FORK = """
import os, select, signal, django
django.setup()
from kaspi_delivery_django.services.outbox.rate_limit import RateLimiter
limiter = RateLimiter()
if not os.fork():
    with limiter._locked():
        os.kill(os.getpid(), signal.SIGKILL)
os.wait()
read_end, write_end = os.pipe()
with limiter._locked():
    if not os.fork():
        limiter.acquire(0)
        os.write(write_end, b"!")
        os._exit(0)
    assert not select.select([read_end], [], [], 0.3)[0], "the lock is not waited for"
os.wait()
children = []
for _ in range(2):
    child = os.fork()
    if not child:
        for _ in range(50):
            os.write(1, f"{limiter.acquire(0.01)}\\n".encode())
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""


@pytest.fixture(autouse=True)
def fresh():
    """Begin each test without taken slots."""
    rate_limit.rate_limiter.cache_clear()


def test_slots_keep_their_distance():
    """The second comes its distance after the first, unless it was released: an unused slot delays no call."""
    limiter = rate_limit.RateLimiter()
    first = limiter.acquire(0.5)
    assert limiter.acquire(0.5) == first + 0.5
    limiter.release(0.5)
    assert limiter.acquire(0.5) == first + 0.5


def test_a_slot_in_the_past_is_now():
    """Time without requests is not saved up."""
    limiter = rate_limit.RateLimiter()
    limiter.acquire(0.0)
    before = time.monotonic()
    assert before <= limiter.acquire(1) <= time.monotonic()


def test_forked_processes_never_share_a_slot():
    """A hundred slots of two processes are all apart: each waits for the other's lock, and not for a killed one's."""
    ran = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    slots = sorted(map(float, ran.stdout.split()))
    gaps = [later - earlier for earlier, later in pairwise(slots)]
    assert len(slots) == 100
    assert min(gaps) > 0.0099


def test_a_system_without_fork_needs_no_file_lock(monkeypatch):
    """Such as Windows."""
    monkeypatch.delattr(os, "lockf")
    limiter = rate_limit.RateLimiter()
    assert limiter.acquire(0.5) + 0.5 == limiter.acquire(0.5)


def test_without_a_rate_no_call_waits(configure):
    """None means unlimited: all go together, as there is no slot to wait for."""
    configure(MAX_REQUESTS_PER_SECOND=None)
    assert [rate_limit.acquire(), rate_limit.release(), rate_limit.acquire()] == [0.0, None, 0.0]
    slot = rate_limit.BatchSlot()
    assert (slot.wait_s(most=32), slot.count) == (0.0, 32)


@pytest.mark.failure_mode("request: too many requests")
def test_the_rate_is_per_second(settings):
    """With a hundredth of a request a second they are 100 s apart; a released slot is used by the next."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MAX_REQUESTS_PER_SECOND": 0.01}
    assert rate_limit.acquire() == 0.0
    assert 50 < rate_limit.acquire() <= 100
    rate_limit.release()
    assert 50 < rate_limit.acquire() <= 100


def test_a_slow_rate_lets_one_go_at_a_time(settings):
    """A fast one as many as it allows in a twentieth of a second."""
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MAX_REQUESTS_PER_SECOND": 10}
    assert rate_limit.batch_size(32) == 1
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MAX_REQUESTS_PER_SECOND": 200}
    assert (rate_limit.batch_size(32), rate_limit.batch_size(4)) == (10, 4)


def test_a_batch_slot_is_acquired_once_and_its_rest_released(settings, monkeypatch):
    """The next slot is as far away as the used part."""
    monkeypatch.setattr(rate_limit, "BATCH_S", 500)
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "MAX_REQUESTS_PER_SECOND": 0.01}
    slot = rate_limit.BatchSlot()
    assert slot.wait_s(most=32) == 0.0
    assert slot.wait_s(most=32) == 0.0
    assert slot.count == 5
    slot.end(used=2)
    slot.end(used=0)
    assert 150 < slot.wait_s(most=32) <= 200


@pytest.mark.parametrize(("has_memory", "has_folder"), [(True, False), (False, True), (False, False)])
def test_slots_are_locked_by_a_file_where_there_is_one(monkeypatch, caplog, has_memory, has_folder):
    """In memory, or in a folder as on macOS; without either each process has its own limit, and logs a warning."""
    if not has_memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    if not has_folder:
        no_folder = FileNotFoundError(2, "No usable temporary directory found")
        monkeypatch.setattr(tempfile, "TemporaryFile", Mock(side_effect=no_folder))
    limiter = rate_limit.RateLimiter()
    assert limiter.acquire(1) < limiter.acquire(1)
    limiter.release(1)
    has_file = has_folder or hasattr(os, "memfd_create")
    assert (limiter._file is not None, "no folder for temporary files" in caplog.text) == (has_file, not has_file)
