"""The matrix: what tox.ini offers is what is supported, and `.ci/run` meets every pair of it."""

import re
import tomllib
from configparser import ConfigParser
from itertools import combinations, product

from packaging.requirements import Requirement

from tests import kinds
from tests.kinds import ROOT

SCRIPT = (ROOT / ".ci" / "run").read_text()
CELL = re.compile(r"py(\d+)-django(\d+)-(\w+)")
CHOICES = re.compile(r"\{([^{}]*)\}")
LISTED = re.compile(r"\b(?:py\d+-django\d+-\w+|lowest)\b")


def tox():
    """Return tox.ini, as it is written."""
    found = ConfigParser(interpolation=None)
    found.read(ROOT / "tox.ini")
    return found


def expand(text):
    """Yield what braces abbreviate: `a{b,c}` is ab and ac."""
    parts = CHOICES.split(text)
    yield from map("".join, product(*(part.split(",") for part in parts)))


def cells(names):
    """Return (Python, Django, database) of each environment that is one cell of the matrix."""
    return {match.groups() for name in names if (match := CELL.fullmatch(name))}


def expand_all(env_list):
    """Return the names of all environments of a list."""
    return [name for line in env_list.split() for name in expand(line)]


CELLS = cells(expand_all(tox()["tox"]["env_list"]))


def lowest():
    """Return the cell of the lowest dependencies."""
    section = tox()["testenv:lowest"]
    [django] = [Requirement(line) for line in section["deps"].split() if line.startswith("django==")]
    [version] = [one.version for one in django.specifier]
    [engine] = re.findall(r"-m tests (\w+)", section["commands"])
    return section["base_python"].removeprefix("py"), "".join(version.split(".")[:2]), engine


def run_by_ci(script):
    """Return the cells that the script's steps name, comments apart."""
    code = re.sub(r"^\s*#.*$", "", script, flags=re.MULTILINE)
    names = LISTED.findall(code)
    return cells(names) | ({lowest()} if "lowest" in names else set())


def pairs(some):
    """Return every pair of two values that meet in one of the cells."""
    return {frozenset(pair) for cell in some for pair in combinations(enumerate(cell), 2)}


def test_every_supported_pair_meets_in_ci():
    """Each Python with each Django that allows it, and each of them with each database."""
    missing = pairs(CELLS) - pairs(run_by_ci(SCRIPT))
    assert sorted(sorted(pair) for pair in missing) == []


def test_ci_runs_only_cells_and_tests_that_are_there():
    """A name that tox does not know, or a path that was renamed, would be an error an hour later."""
    assert run_by_ci(SCRIPT) <= CELLS
    named = re.findall(r"\btests/[\w/.]+", SCRIPT)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_matrix_is_what_is_promised():
    """Python 3.11 to 3.13, Django 5.2 to 6.1, three databases; 6.x wants Python 3.12."""
    promised = product(("311", "312", "313"), ("52", "60", "61"), ("sqlite", "postgresql", "mariadb"))
    assert {(p, d, e) for p, d, e in promised if p != "311" or d == "52"} == CELLS


def test_the_next_python_is_run_where_a_machine_has_it():
    """Without it the step is left out, and nothing fails; it is no cell of what is promised."""
    [step] = re.findall(r"^.+ py314\b.*$", SCRIPT, re.MULTILINE)
    assert step.strip() == "[[ -z $next_python ]] || brief py314"
    assert "py314" in expand_all(tox()["tox"]["env_list"])
    assert tox()["tox"]["skip_missing_interpreters"] == "true"


def test_a_cell_that_is_left_out_is_missed():
    """None of these can go without a pair going, too."""
    for cell in ("py313-django52-sqlite", "py312-django61-mariadb", "lowest"):
        assert pairs(CELLS) - pairs(run_by_ci(SCRIPT.replace(cell, "nothing")))


def test_kinds_are_markers_of_tests_that_are_there():
    """A file that was renamed would be run by the everyday line again; `--strict-markers` knows no other kind."""
    places = [place for some in kinds.SLOW.values() for place in some]
    assert [place for place in places if not (ROOT / place).exists()] == []
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    assert {line.partition(":")[0] for line in lines} >= set(kinds.SLOW)
