"""Write what a test does to a cassette, and hold a test to the story of one."""

from collections.abc import Mapping
from pathlib import Path

from kaspi_delivery_django import conf
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.replay import RecordingKaspi, ReplayedKaspi
from kaspi_delivery_django.testing.clock import FakeClock
from kaspi_delivery_django.testing.environment import fake_kaspi


class Cassettes:
    """The cassettes of an open sandbox: at most one, of one account."""

    def __init__(self, record: str | Path | None, replay: str | Path | None, account: str | None) -> None:
        if record and replay:
            raise ValueError("Record a cassette or replay one, not both.")
        self._record, self._replay = (Path(path) if path else None for path in (record, replay))
        self._account = account

    def open(self, clock: FakeClock) -> dict[str, FakeKaspi]:
        """Return the Kaspi of each account. Raises `CassetteError` for a cassette that cannot be read."""
        accounts = list(conf.current().accounts)
        if not self._record and not self._replay:
            return {alias: fake_kaspi(alias, clock) for alias in accounts}
        chosen = choose(accounts, self._account)
        fakes = {alias: fake_kaspi(alias, clock) for alias in accounts if alias != chosen}
        return {**fakes, chosen: fake_kaspi(chosen, clock, record=bool(self._record), replay=self._replay)}

    def check(self, fakes: Mapping[str, FakeKaspi]) -> None:
        """Raise `AssertionError` with the difference if the shop has sent a request that the cassette does not have."""
        for text in [text for kaspi in _replayed(fakes) for text in kaspi.unexpected[:1]]:
            self._fail(f"The shop sent a request that {self._replay} does not have:\n{text}")

    def close(self, fakes: Mapping[str, FakeKaspi]) -> None:
        """Write the recorded cassette. Raises `AssertionError` if a replayed story was not played to its end."""
        self.check(fakes)
        for kaspi in fakes.values():
            if self._record and isinstance(kaspi, RecordingKaspi):
                kaspi.cassette.write(self._record)
        left = [name for kaspi in _replayed(fakes) for name in kaspi.unplayed()]
        if left:
            self._fail(f"{self._replay} was not played to its end. Left: {', '.join(left)}.")

    def _fail(self, message: str) -> None:
        again = f'To record it again, run the test once with kaspi_sandbox(record="{self._replay}").'
        raise AssertionError(f"{message}\n{again}")


def choose(accounts: list[str], account: str | None) -> str:
    """Return the account: the one that is named, else the only one, else "default"."""
    alias = accounts[0] if account is None and len(accounts) == 1 else account or conf.DEFAULT_ACCOUNT
    if alias not in accounts:
        raise ValueError(f"Name the account: {', '.join(accounts)}.")
    return alias


def advance_to_webhooks(fakes: Mapping[str, FakeKaspi], clock: FakeClock) -> None:
    """Move the clock forward to the pending webhooks of a replayed story."""
    due = [event.due_at for kaspi in _replayed(fakes) for event in kaspi.webhooks.pending]
    clock.advance_to(max(due, default=0.0))


def _replayed(fakes: Mapping[str, FakeKaspi]) -> list[ReplayedKaspi]:
    return [kaspi for kaspi in fakes.values() if isinstance(kaspi, ReplayedKaspi)]
