"""Report what stands between this shop and its first parcel: `manage.py kaspi_doctor`.

The doctor's findings as lines for a terminal.
"""

import json
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kaspi_delivery_django import conf
from kaspi_delivery_django.doctor import probes, report
from kaspi_delivery_django.doctor.probes import Wait
from kaspi_delivery_django.doctor.report import Report
from kaspi_delivery_django.doctor.texts import Outcome
from kaspi_delivery_django.management.argtypes import whole_number
from kaspi_delivery_django.management.exits import WRONG_USE, exit_codes
from kaspi_delivery_django.services.errors import one_line

OUTCOME_WORDS = {Outcome.PASS: "pass ", Outcome.FAIL: "FAIL ", Outcome.YOURS: "yours"}
INDENT = " " * 8


def lines(found: Report) -> Iterator[str]:
    """Return the findings, the project first, then each account, then the checklist and the totals."""
    for alias in ("", *(account.alias for account in found.accounts)):
        yield f"Account {alias}" if alias else "The project"
        for finding in found.findings:
            if finding.account == alias:
                yield from _line(finding.outcome, f"{finding.name}: {finding.message}", finding.todo)
        yield ""
    yield "Kaspi's checklist"
    for item in found.checklist:
        yield from _line(item.outcome, f"{item.number:>2} {item.asks}: {item.message}", item.todo)
    yield ""
    yield _sum(found)


def _line(outcome: Outcome, text: str, todo: str) -> Iterator[str]:
    yield one_line(f"  {OUTCOME_WORDS[outcome]} {text}")
    if todo:
        yield one_line(f"{INDENT}{todo}")


def _sum(found: Report) -> str:
    counts = Counter(found.outcomes)
    return f"{counts[Outcome.FAIL]} failed, {counts[Outcome.YOURS]} yours to confirm, {counts[Outcome.PASS]} passed."


FAILED = 1
WAIT_S = 30
LONGEST_WAIT_S = 600


class Command(BaseCommand):
    """Asks Kaspi and the database, writes nothing itself, and books nothing.

    Exit codes: 0 when nothing failed, 1 when something did, 2 for wrong options or settings, 3 when
    the database cannot be read.
    """

    help = "Look at everything that going live needs, ask Kaspi, and go through Kaspi's checklist."
    requires_system_checks = []  # they are among the findings

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", metavar="ALIAS", help="examine this account alone")
        parser.add_argument(
            "--webhook-url",
            metavar="URL",
            help="have Kaspi send a test webhook there, and wait for it; {account} in it stands for the alias",
        )
        wait = partial(whole_number, least=1, most=LONGEST_WAIT_S)
        parser.add_argument("--wait", type=wait, default=WAIT_S, metavar="N", help=f"seconds to wait for it ({WAIT_S})")
        parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        with exit_codes():
            accounts = _accounts(options["account"])
            urls = _urls(accounts, options["webhook_url"])
            found = report.run(accounts, urls, Wait(seconds=options["wait"]))
        as_json = options["json"]
        self.stdout.write(json.dumps(report.document(found), indent=2) if as_json else "\n".join(lines(found)))
        if not found.has_passed:
            raise SystemExit(FAILED)


def _accounts(alias: str | None) -> Mapping[str, conf.Account]:
    accounts = conf.current().accounts
    if alias is None:
        return accounts
    if alias not in accounts:
        raise CommandError(f"No account {alias!r}; there are: {', '.join(accounts)}.", returncode=WRONG_USE)
    return {alias: accounts[alias]}


def _urls(accounts: Mapping[str, conf.Account], url: str | None) -> Mapping[str, str]:
    if url is None:
        return {}
    if len(accounts) > 1 and probes.PLACEHOLDER not in url:
        what = (
            "Each account has its own address: write {account} for the alias in --webhook-url, or name one --account."
        )
        raise CommandError(what, returncode=WRONG_USE)
    try:
        return {alias: probes.address_of(url, account) for alias, account in accounts.items()}
    except ValueError as err:
        raise CommandError(f"--webhook-url: {err}.", returncode=WRONG_USE) from err
