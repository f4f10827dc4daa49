"""What optional apps add to the worker and to pruning: they register it when they are ready."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class Prune(Protocol):
    """Deletes old rows, batch by batch, as the functions of `maintenance.pruning` do."""

    def __call__(self, *, before: datetime, batch: int, dry_run: bool) -> Iterator[int]:
        """Yield the number of rows of each batch."""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """What one app adds.

    `label` names the task in the worker's log, and `rows` what is pruned ("messages"). `run(limit=...)` is called in
    each round of the worker and returns how many things were done. `anonymize` clears what the app has stored about
    the customers of these deliveries (primary keys), in the transaction that clears the deliveries.
    """

    label: str
    rows: str
    run: Callable[..., int] = lambda **_limit: 0
    prune: Prune = lambda **_options: iter(())
    anonymize: Callable[[Collection[int]], object] = lambda _deliveries: None


_installed: dict[str, Extension] = {}


def register(extension: Extension) -> None:
    """Add an extension, for `AppConfig.ready`; one with the same label is replaced."""
    _installed[extension.label] = extension


def installed() -> Iterable[Extension]:
    """Return the extensions in the order of INSTALLED_APPS."""
    return tuple(_installed.values())
