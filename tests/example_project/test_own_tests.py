"""The example shop's own tests, run as the shop runs them: with its settings, which have no key."""

import ast
import os
import re

import pytest

from tests.docs import pages
from tests.example_project.conftest import run

FOLDER = pages.ROOT / "example_project"
OURS = ("KASPI_", "DATABASE", "DJANGO_SETTINGS_MODULE", "DEBUG")
UNITTEST = ("manage.py", "test", "example_project")
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "--ds=example_project.settings", "example_project")


@pytest.mark.parametrize(
    ("command", "end"), [(UNITTEST, r"^Ran [1-9]\d* tests? in .*\n\nOK$"), (PYTEST, r"[1-9]\d* passed")]
)
def test_the_shops_own_tests_pass(command, end):
    """With both runners, for a developer who has set nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    printed = run(*command, cwd=pages.ROOT, env={**kept, "DATABASE_URL": "sqlite:///:memory:"})
    assert re.search(end, printed, re.MULTILINE), printed


def test_the_documentation_shows_the_shops_own_tests():
    """Word for word, some of each kind; and the line that activates the plugin."""
    files = [path.read_text() for path in (FOLDER / "shop" / "tests").glob("test_*.py")]
    blocks = [block.text for block in pages.read("docs/testing.md").blocks if "example_project" in block.text]
    shown = [
        ast.get_source_segment(text, node, padded=True)
        for text in blocks
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert [source for source in shown if not any(source in file for file in files)] == []
    assert all(any(source in file for source in shown) for file in files)
    [line] = re.findall("^pytest_plugins.*$", (FOLDER / "conftest.py").read_text(), re.MULTILINE)
    assert line in (pages.ROOT / "docs" / "testing.md").read_text()
