"""The benchmark of the webhook still runs, on both engines, beside all it is compared with."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REQUIRED = os.environ.get("KASPI_BENCHMARKS") == "required"
MISSING = [name for name in ("djstripe", "gunicorn", "psycopg") if importlib.util.find_spec(name) is None]
if MISSING and not REQUIRED:
    pytest.skip(f"not installed: {', '.join(MISSING)} (pip install -e '.[benchmarks]')", allow_module_level=True)

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"DATABASE", "DATABASE_URL", "TEST_DATABASE_NAME"}
WAYS = [f"{engine}, {way}" for engine in ("postgresql", "sqlite") for way in ("gunicorn", "in process")]


@pytest.fixture(scope="module")
def figures():
    """Run it with a few requests, on the server that the tests have or on the embedded one."""
    inherited = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    given = {"DATABASE_URL": url} if (url := os.environ.get("POSTGRESQL_URL")) else {}
    command = [sys.executable, "-m", "benchmarks", "--only", "webhook", "--json", "--requests", "20", "--rounds", "1"]
    ran = subprocess.run(command, cwd=ROOT, env={**inherited, **given}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return {figure["label"]: figure for figure in json.loads(ran.stdout)["webhook"]}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("other", ["nothing", "limit", "optimum", "dj-stripe"])
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
