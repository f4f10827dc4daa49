"""Provide the pytest fixture `kaspi`: `pytest_plugins = ["kaspi_delivery_django.testing.fixtures"]`."""

from collections.abc import Iterator

import pytest

from kaspi_delivery_django.testing.sandbox import KaspiSandbox, kaspi_sandbox


@pytest.fixture
def kaspi() -> Iterator[KaspiSandbox]:
    """Open `kaspi_sandbox` around the test. The test declares itself how it uses the database."""
    with kaspi_sandbox() as sandbox:
        yield sandbox
