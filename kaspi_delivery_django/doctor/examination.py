"""The whole examination: the house first, then Kaspi account by account, then the checklist; and as a document."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kaspi_delivery_django import conf
from kaspi_delivery_django.doctor import api, checklist, facts, local, webhook
from kaspi_delivery_django.doctor.checklist import Evidence, Item
from kaspi_delivery_django.doctor.findings import Finding, Verdict
from kaspi_delivery_django.doctor.webhook import Patience
from kaspi_delivery_django.figures import accounts as account_figures
from kaspi_delivery_django.figures import standing
from kaspi_delivery_django.figures.accounts import AccountFigures

SCHEMA = 1
UNSEEN = "--webhook-url was not given"
GIVE_URL = "Run this with --webhook-url and the shop's public address, as in https://shop.example/kaspi/webhook/"


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found, and Kaspi's checklist."""

    accounts: Sequence[conf.Account]
    findings: Sequence[Finding]
    checklist: Sequence[Item]

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """Every verdict there is, of the findings and of the checklist."""
        return [*(finding.verdict for finding in self.findings), *(item.verdict for item in self.checklist)]

    @property
    def is_well(self) -> bool:
        """Whether nothing failed. What is yours to confirm does not fail."""
        return Verdict.FAIL not in self.verdicts


def examine(accounts: Mapping[str, conf.Account], urls: Mapping[str, str], patience: Patience) -> Examination:
    """Examine these accounts; `urls` says by alias where a test webhook is to arrive.

    Raises Django's `DatabaseError` or `InterfaceError` when the database is away.
    """
    house = list(_house())
    is_migrated = all(found.verdict is Verdict.PASS for found in house if found.name == "migrations")
    snapshot = standing.read() if is_migrated else None
    states = {state.alias: state for state in account_figures.read()} if is_migrated else {}
    findings = [*house, *(local.judge_standing(snapshot) if snapshot else ())]
    for alias, account in accounts.items():
        state = states.get(alias, AccountFigures(alias=alias, environment=account.environment))
        findings += local.judge_account(state, snapshot) if snapshot else ()
        findings += _kaspi(account, state, urls.get(alias), patience, is_migrated=is_migrated)
    evidence = Evidence(
        accounts=list(accounts.values()),
        findings=findings,
        surroundings=facts.surroundings(accounts),
        tables=facts.tables(snapshot) if snapshot else None,
        urls=urls,
    )
    return Examination(accounts=evidence.accounts, findings=findings, checklist=checklist.judge(evidence))


def document(found: Examination) -> dict[str, Any]:
    """Return it in the types of JSON. What a key of it means stays; `schema` grows when that cannot be kept."""
    return {
        "schema": SCHEMA,
        "well": found.is_well,
        "accounts": [
            {"account": account.alias, "environment": account.environment, "base_url": account.base_url}
            for account in found.accounts
        ],
        "findings": [asdict(finding) for finding in found.findings],
        "checklist": [asdict(item) for item in found.checklist],
    }


def _house() -> Iterator[Finding]:
    yield from local.judge_checks(local.project_checks())
    yield local.migrations()
    yield local.database_clock()


def _kaspi(
    account: conf.Account, state: AccountFigures, url: str | None, patience: Patience, *, is_migrated: bool
) -> Iterator[Finding]:
    """Ask Kaspi; for a test webhook only once it has taken the key, and can leave a row."""
    answers = api.examine(account, state)
    yield from answers
    keys = [found for found in answers if found.name in {"key", "api"}]
    if url is None:
        yield webhook.not_tried(account, UNSEEN, GIVE_URL)
    elif not is_migrated:
        yield webhook.not_tried(account, "the inbox is not migrated", "Mend the line 'migrations' first.")
    elif any(found.verdict is Verdict.FAIL for found in keys):
        yield webhook.not_tried(account, "Kaspi has not taken the key", "Mend the lines 'api' and 'key' first.")
    else:
        yield webhook.examine(account, url, patience)
