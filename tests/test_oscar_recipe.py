"""docs/oscar.md shows the very files that tests/oscar runs; this needs no oscar."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "tests" / "oscar"
BEGIN, END = "# --- what docs/oscar.md adds ---", "# --- the tests' own ---"
FILES = [
    "shipping/apps.py",
    "shipping/models.py",
    "shipping/methods.py",
    "shipping/repository.py",
    "parcels/adapter.py",
    "parcels/apps.py",
    "parcels/receivers.py",
    "parcels/admin.py",
]


def shown():
    """Return the page."""
    return (ROOT / "docs" / "oscar.md").read_text()


def as_shown(text):
    """Return code as the page has it: in a block, and in a project of the reader's."""
    return f"```python\n{text.strip()}\n```".replace("tests.oscar", "yourshop")


@pytest.mark.parametrize("name", FILES)
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


def test_no_file_of_the_recipe_is_left_out():
    """What is in the two apps is on the page, or empty but for its docstring."""
    found = {str(file.relative_to(RECIPE)) for app in ("shipping", "parcels") for file in (RECIPE / app).glob("*.py")}
    assert {name for name in found if not name.endswith("__init__.py")} == set(FILES)
