"""Everything a storm needs, started and stopped: the sandbox, the shop's web server, its workers."""

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.test import override_settings

from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.server import Courier, SandboxServer
from tests.http_server import free_port
from tests.storm.chaos import RoughWebhookQueue
from tests.storm.fast import FastClock, running

ROOT = Path(__file__).parents[2]
POSTMEN = 3
PACE_S = 240.0
# A courier comes half an hour after the booking at the earliest, and the sweep every five minutes: a sixth of that.
PICKUP_S = 2 * PACE_S
CANCEL_CHECK_S = PICKUP_S / 6
FIRST_RETRY_S = 60.0
ADAPTERS = ["tests.shop.adapters.OrderAdapter", "tests.shop.adapters.AppOrderAdapter"]


class Process:
    def __init__(self, arguments, environment, log):
        self._command = [sys.executable, "-m", "tests.storm.process", *arguments]
        self._environment, self._log = environment, log
        self._running = None

    def start(self):
        self._running = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdout=subprocess.DEVNULL, stderr=self._log
        )

    def kill(self):
        self._running.kill()
        self._running.wait()

    def terminate(self, patience_s=30):
        self._running.terminate()
        return self._running.wait(patience_s)


class Stage:
    """A context that runs everything. `kaspi` is the fake Kaspi, `processes` may be killed."""

    def __init__(self, plan):
        self._plan = plan
        self.clock = FastClock(time.time(), plan.speed)
        self._port = free_port()
        self._stopped, self._resting = threading.Event(), threading.Event()
        self.kaspi = self._kaspi()
        self.server = SandboxServer(self.kaspi)
        self.processes = []

    def __enter__(self):
        self._fast = running(self.clock)
        self._fast.__enter__()
        self._shop = override_settings(KASPI_DELIVERY={**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": ADAPTERS})
        self._shop.enable()
        self.server.start()
        self._log = tempfile.TemporaryFile()
        environment = self._environment()
        kinds = [["web", str(self._port)], *(["worker", str(self._plan.threads)] for _ in range(self._plan.workers))]
        self.processes = [Process(kind, environment, self._log) for kind in kinds]
        self._threads = [threading.Thread(target=self._post, daemon=True) for _ in range(POSTMEN)]
        self._threads.append(threading.Thread(target=self._drive, daemon=True))
        for part in (*self.processes, *self._threads):
            part.start()
        return self

    def __exit__(self, *_exc_info):
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        for process in self.processes:
            process.kill()
        self.server.stop()
        self._shop.disable()
        self._fast.__exit__(None, None, None)
        self._log.close()

    @contextmanager
    def resting_courier(self):
        self._resting.set()
        try:
            yield
        finally:
            self._resting.clear()

    def log(self):
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def _kaspi(self):
        account = settings.KASPI_DELIVERY
        seed = self._plan.seed
        kaspi = FakeKaspi(
            api_key=account["API_KEY"],
            webhook_secret=account["WEBHOOK_SECRETS"][0],
            webhook_url=f"http://127.0.0.1:{self._port}/kaspi/webhook/",
            clock=self.clock.timestamp,
            seed=seed,
        )
        kaspi.webhooks = RoughWebhookQueue(
            account["WEBHOOK_SECRETS"][0],
            clock=self.clock.timestamp,
            new_event_id=kaspi._new_event_id,
            first_retry_s=FIRST_RETRY_S,
            dice=random.Random(seed),
            chance=self._plan.faults,
        )
        return kaspi

    def _environment(self):
        return {
            **os.environ,
            **self.clock.to_environment(),
            "DJANGO_SETTINGS_MODULE": "tests.storm.settings",
            "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
            "STORM_API": self.server.url,
            "STORM_ADAPTERS": " ".join(ADAPTERS),
            "STORM_CANCEL_CHECK_S": str(CANCEL_CHECK_S),
        }

    def _post(self):
        while not self._stopped.wait(0.02):
            while not self._stopped.is_set() and self.kaspi.webhooks.deliver_next(self.clock.timestamp()):
                pass

    def _drive(self):
        courier = Courier(self.kaspi, PACE_S)
        while not self._stopped.wait(0.5):
            if not self._resting.is_set():
                courier.step(self.clock.timestamp())
