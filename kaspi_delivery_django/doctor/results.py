"""A result of the doctor: one line, its outcome, and what to change."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Whether something is well; `YOURS` is what only a person can see."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    YOURS = "yours"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One thing that was looked at. `todo` says what to change, or to confirm; it is empty for a pass.

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
    """Return a finding that must be mended."""
    return Result(name=name, verdict=Outcome.FAIL, says=says, todo=todo, account=account)


def manual(name: str, says: str, todo: str, *, account: str = "") -> Result:
    """Return a finding that a person has to confirm."""
    return Result(name=name, verdict=Outcome.YOURS, says=says, todo=todo, account=account)


def worst(verdicts: Iterable[Outcome]) -> Outcome:
    """Return the verdict over several: one failure fails, one that is open leaves it open, as none does."""
    found = set(verdicts)
    if Outcome.FAIL in found:
        return Outcome.FAIL
    return Outcome.PASS if found == {Outcome.PASS} else Outcome.YOURS
