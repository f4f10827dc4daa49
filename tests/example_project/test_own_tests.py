"""The example shop's own tests, run as the shop runs them: with its settings, which have no key."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import pages

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


def documented_tests():
    """Return the source of each test of the shop that docs/testing.md shows, by its name."""
    blocks = [block.text for block in pages.read("docs/testing.md").blocks if "example_project" in block.text]
    functions = [(text, node) for text in blocks if "def test_" in text for node in ast.walk(ast.parse(text))]
    return {
        node.name: ast.get_source_segment(text, node, padded=True)
        for text, node in functions
        if isinstance(node, ast.FunctionDef)
    }


def test_the_documentation_shows_tests_of_both_kinds():
    """With unittest and with pytest."""
    shown = documented_tests()
    assert all(any(source in path.read_text() for source in shown.values()) for path in FILES)


@pytest.mark.parametrize("source", documented_tests().values(), ids=documented_tests())
def test_the_documentation_shows_the_shops_own_tests(source):
    """Word for word."""
    assert any(source in path.read_text() for path in FILES)


def test_the_documentation_says_how_they_are_activated():
    """The line of the plugin is the one in the shop's conftest.py."""
    [line] = re.findall("^pytest_plugins.*$", (ROOT / "example_project" / "conftest.py").read_text(), re.MULTILINE)
    assert line in (ROOT / "docs" / "testing.md").read_text()
