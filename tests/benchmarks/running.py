"""Run a benchmark as its user does, on the server that the tests have or on the embedded one."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"DATABASE", "DATABASE_URL", "TEST_DATABASE_NAME"}


def figures_of(name, *options):
    """Run one round of a benchmark; return its figures by their labels."""
    inherited = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    given = {"DATABASE_URL": url} if (url := os.environ.get("POSTGRESQL_URL")) else {}
    command = [sys.executable, "-m", "benchmarks", "--only", name, "--json", "--rounds", "1", *options]
    ran = subprocess.run(command, cwd=ROOT, env={**inherited, **given}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return {figure["label"]: figure for figure in json.loads(ran.stdout)[name]}
