"""Databases of a run's own: on the server of DATABASE_URL, or on the one that comes as a wheel."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from benchmarks.plan import Plan
from tests import databases


def server() -> str:
    """Return the address of the server's own database; the embedded server ends with this process."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        databases.settings("postgresql")
        url = os.environ["POSTGRESQL_URL"]
    return _of(url, "postgres")


def version(url: str) -> str:
    """Return the server's version."""
    with psycopg.connect(url) as connection:
        return str(connection.info.parameter_status("server_version"))


@contextmanager
def made(plan: Plan, names: Sequence[str]) -> Iterator[list[str]]:
    """Make a database for each name, yield their addresses, and drop them, unless they are to be kept."""
    owner = "kept" if plan.keep else str(os.getpid())
    full_names = [f"kaspi_benchmark_{owner}_{name}" for name in names]
    try:
        for name in full_names:
            _make(plan.server, name)
        yield [_of(plan.server, name) for name in full_names]
    finally:
        for name in [] if plan.keep else full_names:
            _run(plan.server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def _of(url: str, name: str) -> str:
    """Return the address of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def _make(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
    if known is None:
        _run(url, "CREATE DATABASE {}", name)


def _run(url: str, statement: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
