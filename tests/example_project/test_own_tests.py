"""The example shop's own tests, run as the shop runs them: with its settings, which have no key."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "example_project" / "shop" / "tests").glob("test_*.py"))
SETTINGS = "example_project.settings"
RUNS = {
    "unittest": (["manage.py", "test", "example_project"], r"^Ran [1-9]\d* tests? in .*\n\nOK$"),
    "pytest": (
        ["-m", "pytest", "-p", "no:cacheprovider", f"--ds={SETTINGS}", "example_project"],
        r"[1-9]\d* passed in",
    ),
}


def shops_environment():
    """Return the variables of a developer who has set nothing, and has the default database."""
    ours = ("KASPI_", "DATABASE", "DJANGO_SETTINGS_MODULE", "DEBUG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "DATABASE_URL": "sqlite:///:memory:"}


@pytest.mark.parametrize(("arguments", "ends"), RUNS.values(), ids=RUNS)
def test_the_shops_own_tests_pass(arguments, ends):
    """Both runners find tests, and all of them pass."""
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=shops_environment(), capture_output=True, text=True, timeout=300, check=False
    )
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert re.search(ends, printed, re.MULTILINE), printed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_documentation_shows_these_very_files(path):
    """docs/testing.md has each of them, word for word."""
    assert f"```python\n{path.read_text()}```" in (ROOT / "docs" / "testing.md").read_text()


def test_the_documentation_says_how_they_are_activated():
    """The line of the plugin is the one in the shop's conftest.py."""
    [line] = re.findall("^pytest_plugins.*$", (ROOT / "example_project" / "conftest.py").read_text(), re.MULTILINE)
    assert line in (ROOT / "docs" / "testing.md").read_text()
