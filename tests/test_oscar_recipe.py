"""docs/oscar.md shows, or names, the very files that tests/oscar runs; this needs no oscar."""

from tests.docs.pages import ROOT

RECIPE = ROOT / "tests" / "oscar"
BEGIN, END = "# --- what docs/oscar.md adds ---", "# --- the tests' own ---"
SHOWN = ("parcels/adapter.py", "parcels/receivers.py")
PAGE = (ROOT / "docs" / "oscar.md").read_text()


def as_shown(text):
    """Return code as the page has it: in a block, and in a project of the reader's."""
    return f"```python\n{text.strip()}\n```".replace("tests.oscar", "yourshop")


def test_the_files_and_the_settings_are_shown():
    """To be copied as they are, without the tests' key."""
    for name in SHOWN:
        assert f"`yourshop/{name}`:\n\n{as_shown((RECIPE / name).read_text())}\n" in PAGE
    added = (RECIPE / "settings.py").read_text().partition(BEGIN)[2].partition(END)[0]
    assert added.strip()
    assert as_shown(added) in PAGE


def test_every_file_of_the_recipe_is_named():
    """What is in the two apps is on the page, or empty but for its docstring."""
    names = {file.name for app in ("shipping", "parcels") for file in (RECIPE / app).glob("*.py")} - {"__init__.py"}
    assert len(names) > 5
    assert {name for name in names if f"{name}`" not in PAGE} == set()
