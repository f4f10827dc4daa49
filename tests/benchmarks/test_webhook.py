"""The benchmark of the webhook still runs, on both engines, beside all it is compared with."""

import importlib.util
import os

import pytest

from tests.benchmarks.running import figures_of

REQUIRED = os.environ.get("KASPI_BENCHMARKS") == "required"
MISSING = [name for name in ("djstripe", "gunicorn", "psycopg") if importlib.util.find_spec(name) is None]
if MISSING and not REQUIRED:
    pytest.skip(f"not installed: {', '.join(MISSING)} (pip install -e '.[benchmarks]')", allow_module_level=True)

OTHERS = ["nothing", "limit", "optimum", "dj-stripe", "a listening shop", "CONN_MAX_AGE = 0"]
WAYS = [f"{engine}, {way}" for engine in ("postgresql", "sqlite") for way in ("gunicorn", "in process")]


@pytest.fixture(scope="module")
def figures():
    """Run it with a few requests, on both engines."""
    return figures_of("webhook", "--requests", "20")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("other", OTHERS)
def test_ours_is_set_beside_each_of_the_others(figures, way, other):
    """Every one of them took its requests: a refused one, or a delivery left where it was, ends the run."""
    figure = figures[f"{way}: beside {other}"]
    assert figure["ratio"] > 0
    assert min(figure["facts"]["req/s"].values()) > 0


@pytest.mark.parametrize("way", WAYS)
def test_strangers_are_measured_beside_a_view_that_does_nothing(figures, way):
    """Requests signed with another secret are refused, and counted."""
    assert figures[f"{way}: unauthenticated beside nothing"]["facts"]["req/s"].keys() == {"other", "ours"}


def test_the_generator_says_how_busy_it_was(figures):
    """So that nobody takes its own speed for the server's."""
    assert all(0 <= share <= 100 for f in figures.values() for share in f["facts"]["busy %"].values())
