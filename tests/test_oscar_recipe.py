"""docs/oscar.md shows, or names, the very files that tests/oscar runs; this needs no oscar."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "tests" / "oscar"
BEGIN, END = "# --- what docs/oscar.md adds ---", "# --- the tests' own ---"
SHOWN = ["parcels/adapter.py", "parcels/receivers.py"]


def shown():
    """Return the page."""
    return (ROOT / "docs" / "oscar.md").read_text()


def as_shown(text):
    """Return code as the page has it: in a block, and in a project of the reader's."""
    return f"```python\n{text.strip()}\n```".replace("tests.oscar", "yourshop")


@pytest.mark.parametrize("name", SHOWN)
def test_a_file_stands_there_under_its_name(name):
    """To be copied as it is."""
    code = as_shown((RECIPE / name).read_text())
    assert f"`yourshop/{name}`:\n\n{code}\n" in shown()


def test_the_settings_stand_there():
    """All that the recipe adds to oscar's own, without the tests' key."""
    settings = (RECIPE / "settings.py").read_text()
    added = settings.partition(BEGIN)[2].partition(END)[0]
    assert added.strip()
    assert as_shown(added) in shown()


def test_every_file_of_the_recipe_is_named():
    """What is in the two apps is on the page, or empty but for its docstring."""
    names = {file.name for app in ("shipping", "parcels") for file in (RECIPE / app).glob("*.py")} - {"__init__.py"}
    assert len(names) > 5
    assert {name for name in names if f"{name}`" not in shown()} == set()
