"""A replica that can only be read, and the router of Django's documentation, which reads there."""

from contextlib import contextmanager

from django.db import connection, connections
from django.test import override_settings

REPLICA = "replica"
READ_ONLY = {
    "sqlite": {"timeout": 30},
    "postgresql": {"options": "-c default_transaction_read_only=on"},
    "mysql": {"charset": "utf8mb4", "init_command": "SET SESSION TRANSACTION READ ONLY"},
}
WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class PrimaryReplicaRouter:
    """Reads from the replica, writes to the primary."""

    def db_for_read(self, _model, **_hints):
        return REPLICA

    def db_for_write(self, _model, **_hints):
        return "default"

    def allow_relation(self, _one, _other, **_hints):
        return True

    def allow_migrate(self, db, _app_label, **_hints):
        return db == "default"


@contextmanager
def replicated(written):
    """Read from a replica; what somebody tries to write or to lock there is added to `written`."""

    def note(execute, sql, params, many, context):
        if sql.lstrip().upper().startswith(WRITES) or "FOR UPDATE" in sql:
            written.append(sql)
        return execute(sql, params, many, context)

    own = {**connection.settings_dict, "OPTIONS": READ_ONLY[connection.vendor]}
    if connection.vendor == "sqlite":
        own["NAME"] = f"file:{own['NAME']}?mode=ro"
    connections.settings[REPLICA] = own
    replica = connections[REPLICA]
    replica.ensure_connection = lambda: replica.connection or replica.connect()  # Django allows a test its own aliases
    try:
        here = f"{__name__}.{PrimaryReplicaRouter.__name__}"
        with override_settings(DATABASE_ROUTERS=[here]), replica.execute_wrapper(note):
            yield
    finally:
        replica.close()
        del connections[REPLICA], connections.settings[REPLICA]
