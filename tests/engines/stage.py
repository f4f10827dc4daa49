"""Kaspi's sandbox, and the processes that work for the shop."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from django.conf import settings
from django.db import connection

from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.server import SandboxServer
from kaspi_delivery_django.services.outbox.leases import LEASE
from tests.engines.brokers import wait_until

ROOT = Path(__file__).parents[2]
CELERY = ("celery", "--app", "tests.engines.shop")


class Process:
    """Something that runs beside the test, with children of its own perhaps."""

    def __init__(self, arguments, environment, log):
        command = [sys.executable, "-m", *arguments]
        self._running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def children(self):
        return psutil.Process(self._running.pid).children(recursive=True)

    def wait(self, patience_s=30):
        """Return its exit code, once it has ended by itself."""
        return self._running.wait(patience_s)

    def kill_children(self):
        """Kill what it has forked, with SIGKILL: nothing in it can be finished."""
        for child in self.children():
            child.kill()

    def kill(self):
        if self._running.poll() is None:
            family = [*self.children(), self._running]
            for process in reversed(family):
                process.kill()
            self._running.wait()


class Stage:
    """A context with the sandbox. `kaspi` is the fake Kaspi; `asked_at` has the times of its requests."""

    def __init__(self, runner, broker_url=""):
        account = settings.KASPI_DELIVERY
        self.runner, self.broker_url = runner, broker_url
        self.kaspi = FakeKaspi(api_key=account["API_KEY"], webhook_secret=account["WEBHOOK_SECRETS"][0])
        self.server = SandboxServer(self.kaspi)
        self.asked_at, self._processes = [], []

    def __enter__(self):
        self.kaspi.handle = self._noting(self.kaspi.handle)
        self.server.start()
        self._log = tempfile.TemporaryFile()
        self._folder = tempfile.TemporaryDirectory(prefix="kaspi-delivery-engines-")
        return self

    def __exit__(self, *_exc_info):
        for process in self._processes:
            process.kill()
        self.server.stop()
        self._log.close()
        self._folder.cleanup()

    def start_worker(self, *, concurrency=2, rate=0):
        """Start a Celery worker that forks so many processes."""
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        options = ("worker", "--loglevel", "info", "--concurrency", str(concurrency), *quiet)
        return self.start(*CELERY, *options, ENGINES_RATE=str(rate))

    def start_beat(self):
        return self.start(*CELERY, "beat", "--max-interval", "1", "--schedule", f"{self._folder.name}/beat")

    def start(self, *arguments, **environment):
        """Start a Python module as a process of the shop."""
        shop = {
            "DJANGO_SETTINGS_MODULE": "tests.engines.settings",
            "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
            "ENGINES_API": self.server.url,
            "ENGINES_RUNNER": self.runner,
            "ENGINES_BROKER": self.broker_url,
        }
        process = Process(arguments, {**os.environ, **shop, **environment}, self._log)
        self._processes.append(process)
        return process

    def wait_until(self, is_so, patience_s=60):
        """Wait until it is so; when it never is, show what the processes said."""
        wait_until(is_so, self.log, patience_s)

    def wait_until_booked_once(self, count, patience_s=60):
        """Wait until no call is open: then Kaspi has exactly one delivery of each of so many orders."""
        wait_until(lambda: self.finished() == count, self.log, patience_s)
        assert self.booked_once() == count

    def finished(self):
        """Return how many creates are done, -1 as long as a call is not."""
        is_open = ApiCall.objects.exclude(state="done").exists()
        return -1 if is_open else ApiCall.objects.filter(kind="create").count()

    def creates(self):
        """Return the requests that book; a booking that was replayed is followed by a GET."""
        return [request for request in self.kaspi.requests if request.method == "POST"]

    def end_leases(self):
        """Let as much time pass for the calls under way as a dead sender is given, and more."""
        for call in ApiCall.objects.filter(state="sending"):
            ApiCall.objects.filter(pk=call.pk).update(next_attempt_at=call.next_attempt_at - 2 * LEASE)

    def booked_once(self):
        """Return how many orders Kaspi has exactly one delivery of; -1 if it has more for any."""
        orders = [record.request["externalOrderId"] for record in self.kaspi.deliveries.values()]
        return len(orders) if len(orders) == len(set(orders)) else -1

    def log(self):
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-6000:]

    def _noting(self, handle):
        def note(*request):
            self.asked_at.append(time.monotonic())
            return handle(*request)

        return note
