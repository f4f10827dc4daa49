"""Every check is in the documentation, and has a test named after it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ID = re.compile(r"kaspi_delivery\.([EW]\d{3})")


def used():
    """Return the ids that the checks give."""
    return set(re.findall(r'id="kaspi_delivery\.([EW]\d{3})"', _source()))


def _source():
    return "".join(path.read_text() for path in (ROOT / "kaspi_delivery_django" / "checks").glob("*.py"))


def test_each_id_has_its_row():
    """And no row is about an id that is not used."""
    rows = [line for line in (ROOT / "docs" / "checks.md").read_text().splitlines() if line.startswith("| `")]
    named = [ID.search(row)[1] for row in rows]
    assert len(named) > 20
    assert sorted(named) == sorted(used())


def test_each_id_has_a_test_named_after_it():
    """Which is where its red and its green are."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    tested = {name.upper() for name in re.findall(r"def test_([ew]\d{3})_", tests)}
    assert used() == tested


def test_an_id_means_one_thing():
    """It is given in one place."""
    given = re.findall(r'id="kaspi_delivery\.([EW]\d{3})"', _source())
    assert len(given) == len(set(given))
