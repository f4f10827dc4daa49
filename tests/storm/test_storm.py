"""Short storms with a fixed seed: processes killed, Kaspi failing in every way, the database stopped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

ROOT = Path(__file__).parents[2]
ORDERS = {"postgresql": 250, "mysql": 100, "sqlite": 60}


def run_storm(*arguments, **environment):
    """Run a storm in a process of its own, and return its closing table."""
    engine = os.environ.get("DATABASE", "sqlite")
    command = [sys.executable, "-m", "tests.storm", "--limit", "1500", *arguments]
    inherited = {name: value for name, value in os.environ.items() if name not in {"TEST_DATABASE_NAME", *environment}}
    ran = subprocess.run(
        command, cwd=ROOT, env={**inherited, "DATABASE": engine}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    rows = (line.rsplit(maxsplit=1) for line in ran.stdout.splitlines())
    return {label: int(figure) for label, figure in rows if figure.isdigit()}


def test_nothing_is_lost_or_doubled_when_processes_are_killed():
    """Workers and web server die by SIGKILL, each fault comes with 10 %: one live parcel for each order."""
    orders = ORDERS[connection.vendor]
    table = run_storm("--orders", str(orders), "--kill-every", "2")
    assert table["kills"] >= 3
    assert table["requests to Kaspi"] > table["deliveries booked at Kaspi"]
    assert table["deliveries delivered"] > orders / 2


@pytest.mark.skipif(connection.vendor != "postgresql", reason="stops a PostgreSQL of its own")
def test_nothing_is_lost_or_doubled_when_the_database_stops():
    """It is stopped at once, under load, and started again: saves, webhooks and workers go on."""
    table = run_storm("--orders", "120", "--stop-database", POSTGRESQL_URL=None)
    assert table["deliveries delivered"] > 60
