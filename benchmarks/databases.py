"""Databases that a run creates and drops, on PostgreSQL or SQLite, and the processes that use them."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

import django
import psycopg
from django.core.management import call_command
from psycopg import sql

from benchmarks.rounds import Options
from tests import databases

ENGINES = ("postgresql", "sqlite")
SETTINGS = "benchmarks.settings"
SQLITE = "sqlite:///"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Contestant:
    """A process with a connection and caches of its own. Functions and values must be picklable."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def do(self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Call a function in the process; return its result, or raise its error."""
        return self._pool.submit(work, *args, **kwargs).result()


def server() -> str:
    """Return the address of the server of DATABASE_URL, or of the embedded one, which ends with this process."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        databases.settings("postgresql")
        url = os.environ["POSTGRESQL_URL"]
    return _database_of(url, "postgres")


def set_up(url: str, settings: str = SETTINGS) -> None:
    """Set Django up with this `default` database."""
    os.environ.update(environment(url, settings))
    django.setup()


def environment(url: str, settings: str) -> dict[str, str]:
    """Return the environment of a process with these settings and this `default` database."""
    chosen = {"DJANGO_SETTINGS_MODULE": settings}
    if url.startswith(SQLITE):
        return {**chosen, "DATABASE": "sqlite", "TEST_DATABASE_NAME": url.removeprefix(SQLITE)}
    return {**chosen, "DATABASE": "postgresql", "POSTGRESQL_URL": url, "TEST_DATABASE_NAME": ""}


@contextmanager
def created(engine: str, options: Options, name: str) -> Iterator[str]:
    """Create an empty database; yield its address; drop it."""
    own = f"kaspi_benchmark_{os.getpid()}_{name}"
    if engine == "sqlite":
        with tempfile.TemporaryDirectory(prefix="kaspi-benchmark-") as folder:
            yield f"{SQLITE}{Path(folder) / own}.sqlite3"
    else:
        try:
            _execute(options.server, "CREATE DATABASE {}", own)
            yield _database_of(options.server, own)
        finally:
            _execute(options.server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", own)


@contextmanager
def started(urls: Sequence[str], settings: str = SETTINGS) -> Iterator[list[Contestant]]:
    """Start a process for each database; end them all afterwards."""
    context = get_context("spawn")
    with ExitStack() as stack:
        pools = [
            ProcessPoolExecutor(1, mp_context=context, initializer=set_up, initargs=(url, settings)) for url in urls
        ]
        yield [Contestant(stack.enter_context(pool)) for pool in pools]


def migrate() -> None:
    """Create the tables, the users' first: one of an app without migrations may refer to them."""
    call_command("migrate", "auth", verbosity=0)
    call_command("migrate", verbosity=0, run_syncdb=True)


def _database_of(url: str, name: str) -> str:
    """Return the address of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def _execute(url: str, statement: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
