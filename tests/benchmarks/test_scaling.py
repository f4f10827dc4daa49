"""The benchmark of what grows still runs, on both engines; how fast is nobody's business here."""

import pytest

from tests.benchmarks.running import figures_of

pytest.importorskip("psycopg")
WORKS = [
    "webhook",
    "claim",
    "order's first save",
    "due calls, a batch",
    "worker's idle round",
    "customer's page",
    "kaspi_report",
]


@pytest.fixture(scope="module")
def figures():
    """Run it with a few rows."""
    return figures_of("scaling", "--rows", "1000", "--requests", "10")


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
@pytest.mark.parametrize("work", WORKS)
def test_each_work_is_done_beside_each_size(figures, engine, work):
    """What came to nothing would end the run."""
    assert list(figures[f"{engine}: {work}"]["ms"]) == ["1", "100", "1,000"]
    assert figures[f"{engine}: {work}"]["ratio"] > 0
