"""The benchmark of saving orders still runs, on both engines; how fast is nobody's business here."""

import pytest

from tests.benchmarks.running import figures_of

pytest.importorskip("psycopg")

ENGINES = ("postgresql", "sqlite")
STATEMENTS = {"first save": (1, 6), "re-save": (1, 4)}


@pytest.fixture(scope="module")
def figures():
    """Run it with a few orders."""
    return figures_of("orders", "--requests", "10")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("runner", ["worker", "inline"])
@pytest.mark.parametrize("save", STATEMENTS)
def test_each_save_is_set_beside_a_plain_one(figures, engine, runner, save):
    """What is said of statements is what the services' own tests say."""
    figure = figures[f"{engine}: {save}, {runner}"]
    counted = figure["facts"]["statements"]
    assert figure["ratio"] > 0
    assert (counted["plain"], counted["other"]) == STATEMENTS[save]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("piece", ["an insert", "a savepoint"])
def test_the_pieces_are_measured_alone(figures, engine, piece):
    """So that a figure can be explained."""
    assert figures[f"{engine}: {piece}"]["ratio"] > 0
