"""Routers that send reads to a replica, as projects write them."""

import random

ALL = {"default", "primary", "replica", "replica2"}


class PrimaryReplica:
    """The router of Django's documentation, with one replica."""

    written = "default"

    def db_for_read(self, model, **hints):
        """Read from the replica."""
        return "replica"

    def db_for_write(self, model, **hints):
        """Write to the primary."""
        return self.written

    def allow_relation(self, one, other, **hints):
        """Allow what is in the pool."""
        return True if {one._state.db, other._state.db} <= ALL else None

    def allow_migrate(self, db, app_label, **hints):
        """Migrate the primary alone."""
        return db == self.written


class RandomReplica(PrimaryReplica):
    """The same with two replicas, one of them at random."""

    chosen = random.Random(7)

    def db_for_read(self, model, **hints):
        """Read from either."""
        return self.chosen.choice(["replica", "replica2"])


class NamedPrimary(PrimaryReplica):
    """The primary has a name, and no table is on the alias `default`."""

    written = "primary"


class ReadsOnly:
    """Has no opinion about writes: Django uses the database that an instance was read from."""

    def db_for_read(self, model, **hints):
        """Read the shop and deliveries from the replica; Django's own apps could not write their rows either."""
        return "replica" if model._meta.app_label in {"shop", "kaspi_delivery"} else None

    def allow_relation(self, one, other, **hints):
        """Allow everything."""
        return True


ROUTERS = [PrimaryReplica, RandomReplica, NamedPrimary, ReadsOnly]
EVERYDAY = {PrimaryReplica, NamedPrimary}
