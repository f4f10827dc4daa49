"""What the tests of the services share."""

from contextlib import contextmanager

import pytest
from django.db.models.signals import post_init

from tests.shop.models import Order


def fresh(row):
    """Return the row as the database has it."""
    return type(row).objects.get(pk=row.pk)


def posts(kaspi, ending="/v1/deliveries"):
    """Return the creates, or the cancels, that Kaspi received."""
    return [sent for sent in kaspi.requests if sent.method == "POST" and sent.path.endswith(ending)]


@contextmanager
def unreadable(key, error):
    """Let the shop's model raise while the row of this order is read."""

    def receive(instance, **_facts):
        if instance.pk == key:
            raise error("Aliya, +7 727 111 0001")

    post_init.connect(receive, sender=Order)
    try:
        yield
    finally:
        post_init.disconnect(receive, sender=Order)


def fail_on(monkeypatch, place, name, error, is_poison):
    """Let a function raise for the arguments that are poison, and work for all others."""
    work = getattr(place, name)

    def failing(*args, **options):
        if is_poison(*args, **options):
            raise error
        return work(*args, **options)

    monkeypatch.setattr(place, name, failing)


class Cause(Exception):
    """A driver's own error, with the attributes of PostgreSQL's drivers."""

    def __init__(self, **facts):
        super().__init__()
        self.__dict__.update(facts)


def caused(kind, **facts):
    """Return Django's error with the driver's behind it."""
    err = kind("the text of the driver")
    err.__cause__ = Cause(**facts)
    return err


class FailingStatements:
    """An execute wrapper that fails the first statements that have this part."""

    def __init__(self, part, error, times=1000):
        self.part, self.error, self.times = part, error, times

    def __call__(self, execute, sql, params, many, context):
        if self.times and self.part in sql.replace("`", '"'):
            self.times -= 1
            raise self.error
        return execute(sql, params, many, context)


@pytest.fixture
def connect_only(monkeypatch):
    """Let a signal have these receivers and no others."""

    def connect(signal, *receivers):
        monkeypatch.setattr(signal, "receivers", [])
        for receiver in receivers:
            signal.connect(receiver, weak=False)

    return connect
