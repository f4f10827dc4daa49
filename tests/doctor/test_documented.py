"""What docs/going-live.md says of the doctor is what the doctor does."""

import re
from pathlib import Path

import pytest

from kaspi_delivery_django.doctor.checklist import ITEMS
from kaspi_delivery_django.management.commands import kaspi_doctor
from tests.doctor.test_checklist import CASES

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = (DOCS / "going-live.md").read_text()
LINE = re.compile(r"  (pass |FAIL |yours) (?:([a-z][a-z ]*)|([ \d]\d) (.+?)): \S")


def printed():
    """Return the matches in the example's output, line by line."""
    output = PAGE.split("```text\n")[1].split("```")[0]
    return [match for match in map(LINE.match, output.splitlines()) if match]


def test_the_example_has_every_line_and_every_item():
    """In the order in which they are printed."""
    assert [match[4] for match in printed() if match[4]] == [*ITEMS]
    names = [match[2] for match in printed() if match[2]]
    assert set(re.findall(r"`([a-z ]+)`", "".join(rows_of("is about")))) >= set(names)


def test_what_the_example_says_can_be_said():
    """Each verdict of an item is one that the item can have."""
    possible = {(number, verdict) for number, verdict, _evidence in CASES}
    shown = {(int(match[3]), match[1].strip()) for match in printed() if match[3]}
    assert len(shown) == 15
    assert shown <= possible


def test_the_fifteen_items_are_there_once():
    """With where each has its place; docs/operations.md points to them."""
    assert [row.split("|")[1].strip() for row in rows_of("Kaspi asks for")] == [str(n) for n in range(1, 16)]
    operations = (DOCS / "operations.md").read_text()
    assert "going-live.md#kaspis-checklist" in operations
    assert "Kaspi asks for |" not in operations


@pytest.mark.parametrize("code", [0, kaspi_doctor.FAILED, kaspi_doctor.WRONG_USE, kaspi_doctor.NOT_READ])
def test_each_exit_code_has_its_row(code):
    """For pipelines."""
    assert f"\n| {code} | " in PAGE.split("| exit code |")[1]


def rows_of(column):
    """Return the rows of the table that has this column."""
    table = next(part for part in PAGE.split("\n\n") if part.startswith("| ") and f"| {column} |" in part)
    return table.splitlines()[2:]
