"""What optional apps add to the worker and to pruning: they register it when they are ready."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from kaspi_delivery_django.services.db import OldRows


@dataclass(frozen=True, kw_only=True)
class Extension:
    """What one app adds.

    `label` names the task in the worker's log. `run(limit=...)` is called in each round of the worker and returns how
    many things were done. `old_rows(before)` returns what `kaspi_prune` deletes, and `rows_name` names it ("messages").
    `anonymize` clears what the app has stored about the customers of these deliveries (primary keys), in the
    transaction that clears the deliveries.
    """

    label: str
    rows_name: str
    run: Callable[..., int] = lambda **_limit: 0
    old_rows: Callable[[datetime], OldRows] | None = None
    anonymize: Callable[[Collection[int]], object] = lambda _deliveries: None


_installed: dict[str, Extension] = {}


def register(extension: Extension) -> None:
    """Add an extension, for `AppConfig.ready`; one with the same label is replaced."""
    _installed[extension.label] = extension


def installed() -> Iterable[Extension]:
    """Return the extensions in the order of INSTALLED_APPS."""
    return tuple(_installed.values())
