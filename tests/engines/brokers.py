"""Brokers of the tests' own, on ports and in folders of their own, so that they may be killed."""

import os
import shutil
import signal
import socket
import subprocess
import threading
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path

from tests.http_server import free_port

PATIENCE_S = 300
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one on PATH insists on a user of its own


def missing():
    absent = [] if SERVER.exists() else ["rabbitmq-server"]
    absent += [] if shutil.which("redis-server") else ["redis-server"]
    return f"not installed: {', '.join(absent)} (apt-get install)" if absent else ""


class Broker(ABC):
    """A broker in a folder. It may be killed and started again, or frozen and thawed."""

    def __init__(self, folder):
        self.folder, self.port = Path(folder), free_port()
        self._running = None

    @property
    @abstractmethod
    def url(self):
        """Where Celery finds it."""

    @abstractmethod
    def command(self):
        """Return the command line, and what its environment has more."""

    def start(self):
        command, environment = self.command()
        with (self.folder / "log").open("ab") as log:
            self._running = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **environment}, stdout=log, stderr=log, process_group=0
            )
        wait_until(self.answers, self.log)

    def kill(self):
        """Kill it, and what it started: it writes nothing more to its disk."""
        self._signal(signal.SIGKILL)
        self._running.wait()

    def freeze(self):
        self._signal(signal.SIGSTOP)

    def thaw(self):
        self._signal(signal.SIGCONT)

    @contextmanager
    def frozen(self):
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def answers(self):
        with socket.socket() as caller:
            caller.settimeout(1)
            try:
                caller.connect(("127.0.0.1", self.port))
                caller.sendall(self.greeting)
                return bool(caller.recv(1))
            except OSError:
                return False

    def log(self):
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def _signal(self, number):
        os.killpg(self._running.pid, number)


class RabbitMQ(Broker):
    """A node of its own name, with its own disk, that knows no other node."""

    greeting = b"AMQP\x00\x00\x09\x01"

    @property
    def url(self):
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def command(self):
        """Keep everything in the folder, and the second port off the default."""
        plugins = self.folder / "plugins"
        plugins.write_text("[].\n")
        return [str(SERVER)], {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"kaspi-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
        }


class Redis(Broker):
    """A server that keeps nothing on disk: what it held is gone when it is killed."""

    greeting = b"PING\r\n"

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self):
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        return ["redis-server", *arguments], {}


@contextmanager
def mute():
    """Accept every connection and never answer; yields the port."""
    over, held = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        server.settimeout(0.1)

        def accept():
            while not over.is_set():
                try:
                    held.append(server.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()
    for connection in held:
        connection.close()


def wait_until(is_so, explain=lambda: "", patience_s=PATIENCE_S):
    """Wait until it is so, looking now and then. Fails with an explanation."""
    pause = threading.Event()
    for _ in range(int(patience_s / 0.1)):
        if is_so():
            return
        pause.wait(0.1)
    raise AssertionError(f"not within {patience_s} s: {explain()}")
