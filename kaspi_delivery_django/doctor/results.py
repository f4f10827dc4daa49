"""A result of the doctor: one line, its outcome, and what to change."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The outcome of a check; `YOURS` is for staff to confirm."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    YOURS = "yours"


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of one check. `todo` is what to change, or to confirm; empty for a pass.

    `account` is empty for what concerns the whole shop.
    """

    name: str
    verdict: Outcome
    says: str
    todo: str = ""
    account: str = ""


def passed(name: str, says: str, *, account: str = "") -> Result:
    """Return a finding that asks for nothing."""
    return Result(name=name, verdict=Outcome.PASS, says=says, account=account)


def failed(name: str, says: str, todo: str, *, account: str = "") -> Result:
    """Return a finding that must be fixed."""
    return Result(name=name, verdict=Outcome.FAIL, says=says, todo=todo, account=account)


def manual(name: str, says: str, todo: str, *, account: str = "") -> Result:
    """Return a finding that staff have to confirm."""
    return Result(name=name, verdict=Outcome.YOURS, says=says, todo=todo, account=account)


def worst(verdicts: Iterable[Outcome]) -> Outcome:
    """Return the worst outcome; open for none."""
    found = set(verdicts)
    if Outcome.FAIL in found:
        return Outcome.FAIL
    return Outcome.PASS if found == {Outcome.PASS} else Outcome.YOURS
