"""The benchmark of importing the app still runs; how fast is nobody's business here."""

import pytest

from tests.benchmarks.running import figures_of

pytest.importorskip("psycopg")


def test_each_shop_is_started_with_and_without_the_app():
    """What is added is said for each, and that more modules come."""
    figures = figures_of("imports")
    assert len(figures) == 5
    for figure in figures.values():
        modules = figure["facts"]["modules"]
        assert modules["with"] > modules["without"]
        assert figure["notes"][0].endswith("ms more")
