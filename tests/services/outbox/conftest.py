"""What the outbox's tests share."""

import pytest

from kaspi_delivery_django.services.outbox.worker import Worker


@pytest.fixture
def worker(kaspi):
    """Return a silent worker of one thread."""
    return Worker(log=lambda _line: None)
