"""Every check is in the documentation, and has a test that its ID names."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CHECKS = "".join(path.read_text() for path in (ROOT / "kaspi_delivery_django" / "checks").glob("*.py"))
GIVEN = re.findall(r'id="kaspi_delivery\.([EW]\d{3})"', CHECKS)


def test_each_id_has_its_row():
    """And no row is about an id that is not used; an id is given in one place."""
    rows = [line for line in (ROOT / "docs" / "checks.md").read_text().splitlines() if line.startswith("| `")]
    named = [re.search(r"kaspi_delivery\.([EW]\d{3})", row)[1] for row in rows]
    assert len(named) > 20
    assert sorted(named) == sorted(GIVEN)


def test_each_id_has_a_test():
    """Named after it, or a row in the table of mistakes."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    functions, table = "".join(re.findall(r"def (test_\w+)", tests)).upper(), re.findall(r'\("([EW]\d{3})", ', tests)
    assert set(GIVEN) == {*re.findall(r"_([EW]\d{3})_", functions), *table}
