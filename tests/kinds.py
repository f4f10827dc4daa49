"""Which tests take long, and which are run on one engine only. `python -m tests` and `.ci/run` go by these tables.

A test of one of these kinds carries the kind as a marker: `pytest -m storm`, `pytest -m "not docs"`.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SLOW = {
    "benchmark": ("tests/benchmarks",),
    "browser": ("tests/browser",),
    "docs": ("tests/docs",),
    "mutation": ("tests/promises/test_mutations.py",),
    "packaging": (
        "tests/example_project/test_compose.py",
        "tests/example_project/test_demo.py",
        "tests/example_project/test_own_tests.py",
        "tests/test_newcomer.py",
        "tests/test_packaging.py",
    ),
    "process": ("tests/engines",),
    "storm": (
        "tests/promises/test_machine.py",
        "tests/storm",
        "tests/test_long_lives.py",
    ),
}
ON_EVERY_ENGINE = ("process", "storm")  # these bring processes and databases of their own


def kind_of(path):
    """Return the kind of the tests in this file, or None for those that do not take long."""
    name = Path(path).relative_to(ROOT).as_posix()
    for kind, places in SLOW.items():
        if any(name == place or name.startswith(f"{place}/") for place in places):
            return kind
    return None


def depends_on_engine(item, kind):
    """Return whether the engine can make a difference: pytest-django refuses the database to any other test."""
    if kind is not None:
        return kind in ON_EVERY_ENGINE
    fixtures = {"db", "transactional_db", "django_db_serialized_rollback", "live_server"}
    unittest = getattr(getattr(item, "cls", None), "databases", None)
    return bool(unittest or item.get_closest_marker("django_db") or fixtures & set(item.fixturenames))
