"""The demo's child processes: each writes to a log of its own, and none outlives the demo."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils.translation import gettext

from example_project.demo.deadline import DemoFailed

PATIENCE_S = 60.0
TAIL_LINES = 25


@dataclass(frozen=True)
class Child:
    """A running `manage.py` command."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def has_printed(self, text: str) -> bool:
        """Whether the log has this text by now."""
        return text in self.log.read_text(errors="replace")

    def tail(self) -> str:
        """Return the end of the log under the child's name."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join([f"--- {self.name}", *lines])


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Starts `manage.py` commands with one environment, and keeps the ones that run on."""

    manage: Path
    environment: Mapping[str, str]
    logs: Path
    children: list[Child] = field(default_factory=list)

    def run(self, *arguments: str) -> None:
        """Run a command to its end."""
        done = subprocess.run(  # noqa: S603  # our own manage.py, with our own arguments
            self._command(arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            words = gettext("manage.py %(command)s failed:") % {"command": arguments[0]}
            raise DemoFailed(f"{words}\n{done.stdout}{done.stderr}")

    def start(self, *arguments: str) -> Child:
        """Start a command that runs on, away from the terminal's Ctrl-C: we stop it ourselves."""
        log = self.logs / f"{arguments[0]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # as above
                self._command(arguments),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(arguments[0], process, log)
        self.children.append(child)
        return child

    def check(self) -> None:
        """Raise `DemoFailed` when a child has ended by itself."""
        for child in self.children:
            if (code := child.process.poll()) is not None:
                words = gettext("manage.py %(command)s ended by itself, exit code %(code)s.")
                raise DemoFailed(words % {"command": child.name, "code": code})

    def tails(self) -> str:
        """Return the end of every log."""
        return "\n".join(child.tail() for child in self.children)

    def stop(self) -> None:
        """End every child, by force if need be."""
        for child in self.children:
            child.process.terminate()
        for child in self.children:
            try:
                child.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, str(self.manage), *arguments]


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def interruptible() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, so that both end the children."""
    with _handling(signal.default_int_handler):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a second Ctrl-C wait until the children are gone."""
    with _handling(signal.SIG_IGN):
        yield


@contextmanager
def _handling(handler: Any) -> Iterator[None]:
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.signal(name, handler) for name in names}
    try:
        yield
    finally:
        for name, earlier in before.items():
            signal.signal(name, earlier)
