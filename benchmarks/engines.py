"""A database of a run's own on either engine: PostgreSQL's server, or a file that goes afterwards."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import postgres
from benchmarks.plan import Plan

NAMES = ("postgresql", "sqlite")
SQLITE = "sqlite:///"


@contextmanager
def made(engine: str, plan: Plan, name: str) -> Iterator[str]:
    """Make an empty database, yield its address, and drop it, unless it is to be kept."""
    if engine == "sqlite" and plan.keep:
        yield f"{SQLITE}{Path(tempfile.gettempdir()) / f'kaspi_benchmark_kept_{name}'}.sqlite3"
    elif engine == "sqlite":
        with tempfile.TemporaryDirectory(prefix="kaspi-benchmark-") as folder:
            yield f"{SQLITE}{Path(folder) / name}.sqlite3"
    else:
        with postgres.made(plan, [name]) as [url]:
            yield url


def environment(url: str, settings: str) -> dict[str, str]:
    """Return the environment of a process with these settings, whose `default` database has this address."""
    chosen = {"DJANGO_SETTINGS_MODULE": settings}
    if url.startswith(SQLITE):
        return {**chosen, "DATABASE": "sqlite", "TEST_DATABASE_NAME": url.removeprefix(SQLITE)}
    return {**chosen, "DATABASE": "postgresql", "POSTGRESQL_URL": url, "TEST_DATABASE_NAME": ""}
