"""A pytest plugin: `pytest_plugins = ["kaspi_delivery_django.testing.fixtures"]` in the root conftest.py."""

from collections.abc import Iterator

import pytest

from kaspi_delivery_django.testing.opening import kaspi_sandbox
from kaspi_delivery_django.testing.sandbox import KaspiSandbox


@pytest.fixture
def kaspi() -> Iterator[KaspiSandbox]:
    """A Kaspi in memory around the test, see `kaspi_sandbox`. The test says itself how it uses the database."""
    with kaspi_sandbox() as sandbox:
        yield sandbox
