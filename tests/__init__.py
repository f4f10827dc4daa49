"""The tests of the package. `python -m tests` runs them."""


def load_tests(*_unittest: object) -> None:
    """Name what runs these tests: `manage.py test` looks for tests of unittest, and would fail on each fixture."""
    raise SystemExit("These are tests for pytest: run `python -m tests`, or `python manage.py test example_project`.")
