"""What docs/running.md says of the doctor is what the doctor does."""

import re
from pathlib import Path

from kaspi_delivery_django.doctor.report import ITEMS
from kaspi_delivery_django.doctor.texts import TEXTS
from kaspi_delivery_django.management import exits
from kaspi_delivery_django.management.commands import kaspi_doctor

PAGE = (Path(__file__).parent.parent.parent / "docs" / "running.md").read_text()


def test_each_line_has_its_row():
    """The table explains each name that a probe reports."""
    reported = {case.partition("/")[0] for case in TEXTS} - {"item"}
    assert set(re.findall(r"`([a-z ]+)`", "".join(row.split("|")[1] for row in rows_of("is about")))) >= reported


def test_what_does_not_pass_says_what_to_do():
    """A pass has nothing to do."""
    assert [case for case, (outcome, _says, todo) in TEXTS.items() if bool(todo) is (outcome == "pass")] == []


def test_the_fifteen_items_are_there_once():
    """Each with its number and text, as the doctor prints them."""
    cells = [[cell.strip() for cell in row.split("|")] for row in rows_of("Kaspi asks for")]
    assert [(int(row[1]), row[2].replace("`", "")) for row in cells] == [*enumerate(ITEMS, start=1)]
    assert all(row[3] for row in cells)
    assert len(cells) == 15


def test_each_exit_code_has_its_row():
    """For pipelines."""
    rows = PAGE.split("| exit code |")[1]
    codes = (0, kaspi_doctor.FAILED, exits.WRONG_USE, exits.NOT_READ)
    assert [code for code in codes if f"\n| {code} | " not in rows] == []


def rows_of(column):
    """Return the rows of the table that has this column."""
    table = next(part for part in PAGE.split("\n\n") if part.startswith("| ") and f"| {column} |" in part)
    return table.splitlines()[2:]
