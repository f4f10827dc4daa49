"""The doctor's findings as lines for a terminal."""

from collections import Counter
from collections.abc import Iterator

from kaspi_delivery_django.doctor.examination import Examination
from kaspi_delivery_django.doctor.findings import Verdict
from kaspi_delivery_django.services.failures import one_line

WORDS = {Verdict.PASS: "pass ", Verdict.FAIL: "FAIL ", Verdict.YOURS: "yours"}
INDENT = " " * 8


def lines(found: Examination) -> Iterator[str]:
    """Return what was found, account by account after the house, then the checklist and the sum."""
    for alias in ("", *(account.alias for account in found.accounts)):
        yield f"Account {alias}" if alias else "The house"
        for finding in found.findings:
            if finding.account == alias:
                yield from _line(finding.verdict, f"{finding.name}: {finding.says}", finding.todo)
        yield ""
    yield "Kaspi's checklist"
    for item in found.checklist:
        yield from _line(item.verdict, f"{item.number:>2} {item.asks}: {item.says}", item.todo)
    yield ""
    yield _sum(found)


def _line(verdict: Verdict, text: str, todo: str) -> Iterator[str]:
    yield one_line(f"  {WORDS[verdict]} {text}")
    if todo:
        yield one_line(f"{INDENT}{todo}")


def _sum(found: Examination) -> str:
    counts = Counter(found.verdicts)
    return f"{counts[Verdict.FAIL]} failed, {counts[Verdict.YOURS]} yours to confirm, {counts[Verdict.PASS]} passed."
