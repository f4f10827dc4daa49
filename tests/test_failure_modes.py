"""Every known way to go wrong is held by a test that carries its name: `@pytest.mark.failure_mode("area: mode")`."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
MODES = {
    "create": (
        "no connection",
        "key, address or version is wrong",
        "429",
        "any outcome of one attempt",
        "409, in progress",
        "outcome unknown",
        "a stored 5xx",
        "the answer names another order",
        "a replayed answer is old",
        "23 hours have passed",
        "key, address or environment has changed",
        "the order is a day old",
    ),
    "save": (
        "rollback",
        "many saves",
        "no signal",
        "proxies and children",
        "several databases",
        "the adapter raises",
        "edited after it was frozen",
        "deleted",
    ),
    "claim": (
        "two workers",
        "the worker dies",
        "a late owner",
        "inside a transaction",
        "a poison row",
        "SIGTERM",
        "deadlock",
        "sent twice by a task queue",
    ),
    "request": (
        "slow or endless answer",
        "redirect",
        "proxy or .netrc",
        "certificate",
        "ids and line breaks",
        "killed before the commit",
        "the database is gone after the answer",
        "a row of another environment",
        "the gate reopens",
        "too many requests",
    ),
    "webhook": (
        "method",
        "size",
        "headers and settings of the host",
        "timestamp",
        "signature",
        "several secrets",
        "no secret",
        "a body that cannot be read",
        "an event that cannot be applied",
        "a stranger",
        "signed without the timestamp",
        "the database fails",
        "ATOMIC_REQUESTS",
        "the same event again",
        "the same event with other data",
        "an unknown delivery",
        "a second parcel",
        "a test event",
    ),
    "status": (
        "an impossible time",
        "contradictory ends",
        "any order of events",
        "a receiver raises",
        "a receiver is slow",
        "a receiver saves the order",
    ),
    "cancel": (
        "before anything was sent",
        "while the create is open",
        "accepted, not done",
        "409",
        "outcome unknown",
        "two people",
        "404",
        "no longer wanted",
    ),
    "refresh": (
        "Kaspi is silent",
        "404",
        "history comes again",
        "tables grow",
        "prune deletes too much",
        "prune keeps personal data",
    ),
    "database": (
        "names that differ in case",
        "limits of MariaDB",
        "jsonb reorders keys",
        "SQLite begins as a reader",
    ),
}


def test_every_failure_mode_has_a_test():
    """A mode without a test, and a marker that names none, are both mistakes."""
    listed = {f"{area}: {mode}" for area, modes in MODES.items() for mode in modes}
    files = (path.read_text() for path in TESTS.rglob("*.py") if path != Path(__file__))
    marked = {name for text in files for name in re.findall(r'@pytest\.mark\.failure_mode\("(.*)"\)', text)}
    assert marked == listed
