"""What the tests of the services share."""

import pytest


def fresh(row):
    """Return the row as the database has it."""
    return type(row).objects.get(pk=row.pk)


def posts(kaspi, ending="/v1/deliveries"):
    """Return the creates, or the cancels, that Kaspi received."""
    return [sent for sent in kaspi.requests if sent.method == "POST" and sent.path.endswith(ending)]


def fail_on(monkeypatch, place, name, error, is_poison):
    """Let a function raise for the arguments that are poison, and work for all others."""
    work = getattr(place, name)

    def failing(*args, **options):
        if is_poison(*args, **options):
            raise error
        return work(*args, **options)

    monkeypatch.setattr(place, name, failing)


class FailingStatements:
    """An execute wrapper that fails the first statements that begin like this."""

    def __init__(self, start, error, times=1000):
        self.start, self.error, self.times = start, error, times

    def __call__(self, execute, sql, params, many, context):
        if self.times and sql.replace("`", '"').startswith(self.start):
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
