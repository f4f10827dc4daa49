"""Figures as a table: as many contestants as there are."""

from benchmarks import report
from benchmarks.report import Figure, Sample


def test_a_table_has_a_column_for_each_contestant():
    """The ratio is the last beside the first."""
    samples = {name: [Sample(ms=ms, facts={})] for name, ms in {"few": 2.0, "more": 2.2, "many": 3.0}.items()}
    title, head, row = report.table("Title", [Figure(label="webhook", samples=samples, marks=["slow"])], ())
    assert title == "Title"
    assert [head.index(name) for name in samples] == sorted(head.index(name) for name in samples)
    assert [word for word in row.replace("[", "").replace("]", "").split() if word != "webhook"] == [
        *("2.000", "2.000", "2.000"),
        *("2.200", "2.200", "2.200"),
        *("3.000", "3.000", "3.000"),
        *("1.50", "slow"),
    ]
