"""A replica: another alias of the same database, which refuses every write and records its statements."""

import copy
from contextlib import contextmanager

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.utils import load_backend

from tests.replicas.routers import EVERYDAY, ROUTERS

READ_ONLY = {
    "sqlite": {"init_command": "PRAGMA query_only = 1; PRAGMA read_uncommitted = 1"},
    "postgresql": {"options": "-c default_transaction_read_only=on"},
    "mysql": {"init_command": "SET SESSION TRANSACTION READ ONLY"},
}
OURS = "kaspi_delivery_"


class Asked(list):
    """The statements that a replica executed."""

    def __call__(self, execute, sql, params, many, context):
        """Record and execute it."""
        self.append(str(sql))
        return execute(sql, params, many, context)

    @property
    def of_our_tables(self):
        """Return those that read our tables."""
        return [sql for sql in self if OURS in sql and not sql.startswith("SELECT app, name")]


@contextmanager
def nothing_on_default():
    """Let the alias `default` have no database, as in Django's documentation: any statement there fails."""
    kept = connections["default"]
    settings = {**kept.settings_dict, "ENGINE": "django.db.backends.dummy", "NAME": ""}
    connections["default"] = load_backend(settings["ENGINE"]).DatabaseWrapper(settings, "default")
    try:
        yield
    finally:
        connections["default"] = kept


@contextmanager
def added(alias, **options):
    """Add an alias of the project's database."""
    default = connections["default"]
    own = copy.deepcopy(default.settings_dict)
    own["OPTIONS"] = {**own.get("OPTIONS", {}), **options}
    connections.settings[alias] = own
    connection = connections[alias]
    connection.ensure_connection = lambda: connection.connection or connection.connect()  # Django's tests forbid it
    try:
        yield connection
    finally:
        connection.close()
        del connections[alias], connections.settings[alias]


@pytest.fixture
def asked():
    """Return the statements of the replicas."""
    return Asked()


def cases():
    """Return the routers; those that the everyday run leaves out are marked."""
    for router in ROUTERS:
        yield pytest.param(router, id=router.__name__, marks=[] if router in EVERYDAY else pytest.mark.thorough)


@pytest.fixture(params=cases())
def replica(request, transactional_db, settings, asked):
    """Read from a replica, under each of the routers."""
    options = READ_ONLY[connections["default"].vendor]
    with added("replica", **options) as one, added("replica2", **options) as two, added("primary"):
        ContentType.objects.clear_cache()
        settings.DATABASE_ROUTERS = [request.param()]
        with one.execute_wrapper(asked), two.execute_wrapper(asked):
            if getattr(request.param, "written", "default") == "primary":
                with nothing_on_default():
                    yield "replica"
            else:
                yield "replica"
        settings.DATABASE_ROUTERS = []
        ContentType.objects.clear_cache()
