"""The benchmark of sweeps still runs, on both engines; a sweep that left rows as they were would end it."""

import pytest

from tests.benchmarks.running import figures_of

pytest.importorskip("psycopg")


@pytest.fixture(scope="module")
def figures():
    """Run it with a few rows."""
    return figures_of("bulk", "--rows", "200")


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
@pytest.mark.parametrize("sweep", ["enqueue", "replay, dry run", "replay", "refresh", "worker", "prune"])
def test_each_sweep_says_how_much_memory_it_needed(figures, engine, sweep):
    """Beside how many rows it went over."""
    facts = figures[f"{engine}: {sweep}"]["facts"]
    assert min(facts["rows"].values()) > 0
    assert min(facts["peak MiB"].values()) > 10
