"""The benchmark of sending still runs, on both engines: all calls are sent, settled, and claimed by one."""

import importlib.util
import os

import pytest

from tests.benchmarks.running import figures_of

REQUIRED = os.environ.get("KASPI_BENCHMARKS") == "required"
if importlib.util.find_spec("psycopg") is None and not REQUIRED:
    pytest.skip("not installed: psycopg (pip install -e '.[benchmarks]')", allow_module_level=True)

ENGINES = ["postgresql", "sqlite"]


@pytest.fixture(scope="module")
def figures():
    """Run it with a few calls, on both engines."""
    return figures_of("dispatch", "--requests", "16")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("threads", ["1 thread", "8 threads", "32 threads"])
def test_ours_is_set_beside_a_loop_by_hand(figures, engine, threads):
    """A call that is left unsent, or not settled, ends the run."""
    figure = figures[f"{engine}, {threads}"]
    assert list(figure["ms"]) == ["by hand", "ours"]
    assert all(0 < share <= 1 for share in figure["facts"]["of ideal"].values())


@pytest.mark.parametrize("engine", ENGINES)
def test_the_adapter_is_asked_in_one_of_them(figures, engine):
    """As it is for orders that were just saved."""
    assert list(figures[f"{engine}, 32 threads, built meanwhile"]["ms"]) == ["frozen", "built"]


@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_claim_what_one_claims(figures, engine):
    """A call that two of them get ends the run."""
    assert list(figures[f"{engine}, claims alone"]["ms"]) == ["two", "one"]
