"""The benchmark of the HTTP client still runs, beside all it is compared with."""

import importlib.util
import os

import pytest

from tests.benchmarks.running import figures_of

REQUIRED = os.environ.get("KASPI_BENCHMARKS") == "required"
MISSING = [name for name in ("stripe", "psycopg") if importlib.util.find_spec(name) is None]
if MISSING and not REQUIRED:
    pytest.skip(f"not installed: {', '.join(MISSING)} (pip install -e '.[benchmarks]')", allow_module_level=True)


@pytest.fixture(scope="module")
def figures():
    """Run it with a few calls."""
    return figures_of("client", "--requests", "20")


@pytest.mark.parametrize("call", ["create", "get"])
@pytest.mark.parametrize("other", ["session", "session without environment", "stripe"])
def test_ours_is_set_beside_each_of_the_others(figures, call, other):
    """Every one of them made its calls: an error ends the run."""
    figure = figures[f"{call}: beside {other}"]
    assert figure["ratio"] > 0
    assert min(figure["facts"]["calls/s"].values()) > 0


@pytest.mark.parametrize("threads", [1, 8, 32])
def test_threads_are_set_beside_the_ideal(figures, threads):
    """No client is faster than the server lets it be."""
    figure = figures[f"50 ms, {threads} at once: beside session"]
    assert all(0 < share <= 100 for share in figure["facts"]["ideal %"].values())
    assert min(time for times in figure["ms"].values() for time in times) >= 50 / threads


def test_the_server_says_how_busy_it_was(figures):
    """So that nobody takes its speed for a client's."""
    assert all(0 <= share <= 100 for f in figures.values() for share in f["facts"]["server %"].values())
