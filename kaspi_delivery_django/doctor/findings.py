"""What the doctor found: one line, its verdict, and what to change."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Whether something is well; `YOURS` is what only a person can see."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    YOURS = "yours"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at. `todo` says what to change, or to confirm; it is empty for a pass.

    `account` is empty for what concerns the whole shop.
    """

    name: str
    verdict: Verdict
    says: str
    todo: str = ""
    account: str = ""


def well(name: str, says: str, *, account: str = "") -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(name=name, verdict=Verdict.PASS, says=says, account=account)


def failed(name: str, says: str, todo: str, *, account: str = "") -> Finding:
    """Return a finding that must be mended."""
    return Finding(name=name, verdict=Verdict.FAIL, says=says, todo=todo, account=account)


def yours(name: str, says: str, todo: str, *, account: str = "") -> Finding:
    """Return a finding that a person has to confirm."""
    return Finding(name=name, verdict=Verdict.YOURS, says=says, todo=todo, account=account)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict over several: one failure fails, one that is open leaves it open, as none does."""
    found = set(verdicts)
    if Verdict.FAIL in found:
        return Verdict.FAIL
    return Verdict.PASS if found == {Verdict.PASS} else Verdict.YOURS
