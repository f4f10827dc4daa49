"""Each benchmark runs with a few rows and reports what docs/benchmarks.md states. No time is asserted."""

import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"DATABASE", "DATABASE_URL", "TEST_DATABASE_NAME"}
MISSING = [name for name in ("djstripe", "gunicorn", "psycopg") if importlib.util.find_spec(name) is None]
if MISSING and os.environ.get("KASPI_BENCHMARKS") != "required":
    pytest.skip(f"not installed: {', '.join(MISSING)} (pip install --group benchmarks)", allow_module_level=True)

ENGINES = ("postgresql", "sqlite")
PAIRS = {
    "webhook": [
        *(f"beside {other}" for other in ("nothing", "limit", "optimum", "dj-stripe", "a receiver")),
        "beside CONN_MAX_AGE = 0",
        "unauthenticated beside nothing",
    ],
    "orders": ["first save", "re-save"],
    "dispatch": ["--threads 1", "--threads 8", "--threads 32", "--threads 32, built meanwhile"],
    "scaling": [
        *("webhook", "claim", "order's first save", "due calls, a batch"),
        *("worker's idle round", "customer's page", "kaspi_report"),
    ],
    "bulk": ["enqueue", "replay", "worker", "export", "prune"],
}


@cache
def figures(name):
    """Run one round of a benchmark as its user does; return its figures by their labels."""
    inherited = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    given = {"DATABASE_URL": url} if (url := os.environ.get("POSTGRESQL_URL")) else {}
    few = ["--rounds", "1", "--requests", "10", "--rows", "600" if name == "admin" else "200"]
    command = [sys.executable, "-m", "benchmarks", "--only", name, "--json", *few]
    ran = subprocess.run(command, cwd=ROOT, env={**inherited, **given}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return {figure["label"]: figure for figure in json.loads(ran.stdout)[name]}


@pytest.mark.parametrize("name", PAIRS)
def test_every_stated_ratio_is_measured(name):
    """On both engines. Work that leaves rows as they were, or an unexpected answer, ends the run with an error."""
    assert {f"{engine}: {label}" for engine in ENGINES for label in PAIRS[name]} == figures(name).keys()
    assert all(figure["ratio"] > 0 for figure in figures(name).values())


def test_no_number_of_threads_is_faster_than_the_ideal():
    """The server takes 50 ms for each call."""
    shares = [share for figure in figures("dispatch").values() for share in figure["facts"]["of ideal"].values()]
    assert all(0 < share <= 1 for share in shares)


def test_saves_and_sending_take_the_way_that_is_measured():
    """A save adds what it adds in a shop, and the worker writes none of the prepared deliveries again."""

    def statements(name, label):
        return [figures(name)[f"{engine}: {label}"]["facts"]["statements"]["ours"] for engine in ENGINES]

    assert (statements("orders", "first save"), statements("orders", "re-save")) == ([6, 6], [4, 4])
    assert max(statements("dispatch", "--threads 32")) < 5


def test_each_list_of_the_admin_has_its_filters_and_searches():
    """The pages are found in the admin's site. A page that is not answered with 200 ends the run."""
    labels = figures("admin").keys()
    for kind in ("page 2", "last page", "status = ", "search order id", "search a phone's last four digits"):
        assert [label for label in labels if label.startswith(f"deliveries, {kind}")]
    both = [figure for figure in figures("admin").values() if len(figure["ms"]) == 2]
    assert len(both) > 0.9 * len(labels)


def test_searches_find_the_rows_that_exist():
    """A search for an unknown word finds none."""
    for label, figure in figures("admin").items():
        if ", search " in label:
            assert (figure["facts"]["rows"]["large"] == 0) == ("search an unknown" in label)
