"""The optional app of relayed webhooks has tests in a run of its own, with settings that install it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = "tests.relay.settings"


@pytest.mark.django_db  # so that it is run on each engine
def test_the_app_passes_its_tests(tmp_path):
    """On the engine of this run, in a database of their own."""
    command = [sys.executable, "-m", "pytest", "-q", f"--ds={SETTINGS}", "-p", "no:cacheprovider", "tests/relay"]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": SETTINGS}
    environment.pop("TEST_DATABASE_NAME", None)
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
