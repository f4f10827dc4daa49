"""Run all probes, the project's first, then each account's, and report them with the checklist."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kaspi_delivery_django import conf
from kaspi_delivery_django.doctor import checklist, local, probes, webhook
from kaspi_delivery_django.doctor.checklist import Evidence
from kaspi_delivery_django.doctor.texts import Item, Outcome, Result, result
from kaspi_delivery_django.doctor.webhook import Wait
from kaspi_delivery_django.stats.accounts import AccountStats
from kaspi_delivery_django.stats.report import Report as StatsReport

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Report:
    """The findings, and Kaspi's checklist."""

    accounts: Sequence[conf.Account]
    findings: Sequence[Result]
    checklist: Sequence[Item]

    @property
    def verdicts(self) -> Sequence[Outcome]:
        """The outcomes of all findings and items."""
        return [*(finding.verdict for finding in self.findings), *(item.verdict for item in self.checklist)]

    @property
    def is_well(self) -> bool:
        """Whether nothing failed. Items to confirm do not fail."""
        return Outcome.FAIL not in self.verdicts


def run(accounts: Mapping[str, conf.Account], urls: Mapping[str, str], patience: Wait) -> Report:
    """Examine the project and these accounts; `urls` are the URLs for test webhooks by alias.

    Raises Django's `DatabaseError` or `InterfaceError` when the database is away.
    """
    project = [*local.judge_checks(local.project_checks()), local.migrations(), local.database_clock()]
    is_migrated = all(found.verdict is Outcome.PASS for found in project if found.name == "migrations")
    stats = StatsReport() if is_migrated else None
    states = {state.alias: state for state in stats.accounts} if stats else {}
    findings = [*project, *(local.judge_snapshot(stats) if stats else ())]
    for alias, account in accounts.items():
        state = states.get(alias, AccountStats(alias=alias, environment=account.environment))
        findings += local.judge_account(state, stats.snapshot) if stats else ()
        findings += _check_account(account, state, urls.get(alias), patience, is_migrated=is_migrated)
    own = list(accounts.values())
    items = checklist.judge(Evidence(accounts=own, findings=findings, stats=stats, urls=urls))
    return Report(accounts=own, findings=findings, checklist=items)


def document(found: Report) -> dict[str, Any]:
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


def _check_account(
    account: conf.Account, state: AccountStats, url: str | None, patience: Wait, *, is_migrated: bool
) -> Iterator[Result]:
    """Ask Kaspi; for a test webhook only once it has taken the key, and can leave a row."""
    answers = probes.check_api(account, state)
    yield from answers
    if url is None:
        yield result("webhook/no url", account=account.alias)
    elif not is_migrated:
        yield result("webhook/no inbox", account=account.alias)
    elif any(found.verdict is Outcome.FAIL and found.name in {"key", "api"} for found in answers):
        yield result("webhook/no key", account=account.alias)
    else:
        yield webhook.check(account, url, patience)
