"""Run all probes, the project's first, then each account's, and report them with Kaspi's checklist for going live."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.db.models import QuerySet
from django.urls import NoReverseMatch, reverse

from kaspi_delivery_django import conf
from kaspi_delivery_django.doctor import probes
from kaspi_delivery_django.doctor.probes import Wait
from kaspi_delivery_django.doctor.texts import Item, Outcome, Result, result, text, worst
from kaspi_delivery_django.models import AccountState, ApiCall, Attention, Delivery
from kaspi_delivery_django.stats.report import Report as StatsReport
from kaspi_delivery_django.stats.report import total

SCHEMA = 1
WEBHOOK_LOGGER = "kaspi_delivery_django.views.webhook"
DASHBOARD = "admin:app_list"
LATEST = 1000
HOSTS = [urlsplit(conf.BASE_URLS[name]).hostname for name in ("sandbox", "production")]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The findings, and Kaspi's checklist."""

    accounts: Sequence[conf.Account]
    findings: Sequence[Result]
    checklist: Sequence[Item]

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """The outcomes of all findings and items."""
        return [*(finding.outcome for finding in self.findings), *(item.outcome for item in self.checklist)]

    @property
    def has_passed(self) -> bool:
        """Whether nothing failed. Items to confirm do not fail."""
        return Outcome.FAIL not in self.outcomes


def run(accounts: Mapping[str, conf.Account], urls: Mapping[str, str], wait: Wait) -> Report:
    """Examine the project and these accounts; `urls` are the URLs for test webhooks by alias.

    Raises Django's `DatabaseError` or `InterfaceError` when the database is away.
    """
    project = [*probes.judge_checks(probes.project_checks()), probes.migrations(), probes.database_clock()]
    is_migrated = all(found.outcome is Outcome.PASS for found in project if found.name == "migrations")
    stats = StatsReport() if is_migrated else None
    states = {state.account: state for state in stats.accounts} if stats else {}
    findings = [*project, *(probes.judge_snapshot(stats) if stats else ())]
    for alias, account in accounts.items():
        state = states.get(alias, AccountState(account=alias, environment=account.environment))
        findings += probes.judge_account(state, stats.snapshot) if stats else ()
        findings += _check_account(account, state, urls.get(alias), wait, is_migrated=is_migrated)
    own = list(accounts.values())
    items = judge_items(Evidence(accounts=own, findings=findings, stats=stats, urls=urls))
    return Report(accounts=own, findings=findings, checklist=items)


def document(found: Report) -> dict[str, Any]:
    """Return it in the types of JSON. What a key of it means stays; `schema` grows when that cannot be kept."""
    return {
        "schema": SCHEMA,
        "passed": found.has_passed,
        "accounts": [
            {"account": account.alias, "environment": account.environment, "base_url": account.base_url}
            for account in found.accounts
        ],
        "findings": [asdict(finding) for finding in found.findings],
        "checklist": [asdict(item) for item in found.checklist],
    }


def _check_account(
    account: conf.Account, state: AccountState, url: str | None, wait: Wait, *, is_migrated: bool
) -> Iterator[Result]:
    """Ask Kaspi; for a test webhook only once it has taken the key, and can leave a row."""
    answers = probes.check_api(account, state)
    yield from answers
    if url is None:
        yield result("webhook/no url", account=account.alias)
    elif not is_migrated:
        yield result("webhook/no inbox", account=account.alias)
    elif any(found.outcome is Outcome.FAIL and found.name in {"key", "api"} for found in answers):
        yield result("webhook/no key", account=account.alias)
    else:
        yield probes.check_webhook(account, url, wait)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the items are judged by, beside the process. `stats` is None when the tables could not be read.

    `urls` are the URLs of the test webhooks by alias.
    """

    accounts: Sequence[conf.Account]
    findings: Sequence[Result]
    stats: StatsReport | None
    urls: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> Sequence[Result]:
        """Return the findings of this name."""
        return [found for found in self.findings if found.name == name]

    def outcome(self, name: str) -> Outcome:
        """Return the worst outcome of this name's findings; open when an account has none."""
        found = self.of(name)
        own = {finding.account for finding in found if finding.account}
        is_whole = not own or own == {account.alias for account in self.accounts}
        return worst([finding.outcome for finding in found] + ([] if is_whole else [Outcome.YOURS]))


Found = tuple[str, dict[str, object]]  # the case in the table of texts, and its values
Look = Callable[[Evidence], Found]


def judge_items(evidence: Evidence) -> Sequence[Item]:
    """Return the fifteen items in Kaspi's order."""
    items = list[Item]()
    for number, (asks, look) in enumerate(ITEMS.items(), start=1):
        case, values = look(evidence)
        outcome, message, todo = text(f"item/{case}", values)
        items.append(Item(number=number, asks=asks, outcome=outcome, message=message, todo=todo))
    return items


def _stored_key(environment: str) -> Look:
    def look(evidence: Evidence) -> Found:
        own = [account for account in evidence.accounts if account.environment == environment]
        if not own:
            return "no account", {"environment": environment}
        names = ", ".join(conf.variable_of(account.alias, "API_KEY") for account in own)
        if not all(account.api_key for account in own):
            return "key missing", {"names": names}
        return "key stored" if all(map(_is_from_environment, own)) else "key elsewhere", {"names": names}

    return look


def _is_from_environment(account: conf.Account) -> bool:
    return os.environ.get(conf.variable_of(account.alias, "API_KEY"), "").strip() == account.api_key


def _outbound(evidence: Evidence) -> Found:
    if any(found.outcome is Outcome.FAIL for found in evidence.of("api")):
        return "not reached", {}
    passed = {found.account for found in evidence.of("api")}
    hosts = {urlsplit(account.base_url).hostname for account in evidence.accounts if account.alias in passed}
    missing = [str(host) for host in HOSTS if host not in hosts]
    commands = " and ".join(f"curl -sI https://{host}/" for host in missing)
    return "not tried" if missing else "reached", {"hosts": ", ".join(missing), "commands": commands}


def _receiver(evidence: Evidence) -> Found:
    outcome = evidence.outcome("webhook")
    if outcome is Outcome.PASS and not all(url.startswith("https://") for url in evidence.urls.values()):
        outcome = Outcome.YOURS
    return f"webhook {outcome}", {}


def _logged(_evidence: Evidence) -> Found:
    return "logged" if logging.getLogger(WEBHOOK_LOGGER).isEnabledFor(logging.WARNING) else "not logged", {}


def _unique_ids(evidence: Evidence) -> Found:
    if any("E006" in found.message for found in evidence.of("checks")):
        return "ids alike", {}
    return "ids unique" if evidence.stats else "ids unknown", {}


def _dashboard(_evidence: Evidence) -> Found:
    if not apps.is_installed("django.contrib.admin"):
        return "no dashboard", {}
    try:
        reverse(DASHBOARD, kwargs={"app_label": "kaspi_delivery"})
    except NoReverseMatch:
        return "no dashboard", {}
    return "dashboard", {}


def _of_tables(look: Callable[[StatsReport], Found]) -> Look:
    return lambda evidence: look(evidence.stats) if evidence.stats else ("tables not read", {})


def _idempotency(_stats: StatsReport) -> Found:
    writes = ApiCall.objects.exclude(kind=ApiCall.Kind.REFRESH).order_by("-pk")
    keys = writes.values_list("idempotency_key", flat=True)[:LATEST]
    return "no idempotency key" if "" in keys else "idempotency keys", {}


def _built(what: str) -> Look:
    def look(stats: StatsReport) -> Found:
        if count := stats.snapshot.attention.get(Attention.ADAPTER_FAILED, 0):
            return "not built", {"count": count}
        return "booked" if _booked().exists() else "not booked", {"what": what}

    return _of_tables(look)


def _booked() -> QuerySet[Delivery]:
    return Delivery.objects.filter(delivery_id__isnull=False)


def _notes(evidence: Evidence) -> Found:
    latest = _booked().order_by("-pk").values_list("pickup_notes", "dropoff_notes") if evidence.stats else ()
    return "notes" if any(pickup or dropoff for pickup, dropoff in latest[:LATEST]) else "no notes", {}


def _retries(stats: StatsReport) -> Found:
    found = stats.webhooks
    return "retries" if found.repeated else "no retries", {"events": found.events, "repeated": found.repeated}


def _dead_letters(stats: StatsReport) -> Found:
    count = total(stats.snapshot.dead_letters)
    return "dead letters" if count else "no dead letters", {"count": count}


ITEMS: Mapping[str, Look] = {
    "sandbox key stored safely": _stored_key("sandbox"),
    "production key out of source control": _stored_key("production"),
    "x-api-key on every request, retries too": lambda evidence: (f"key {evidence.outcome('key')}", {}),
    "idempotency keys on create and cancel": _of_tables(_idempotency),
    "outbound HTTPS to both hosts": _outbound,
    "webhook receiver on HTTPS, 2xx under 5 s": _receiver,
    "signature failures and retries are logged": _logged,
    "unique externalOrderId for each delivery": _unique_ids,
    "both contacts have name and phone": _built("a name or a phone"),
    "parcel weight, description and value set": _built("weight, description or value"),
    "courier notes tried": _notes,
    "alerting on 4xx and 5xx spikes": lambda _evidence: ("alerts", {}),
    "dashboard of transitions and cancellation reasons": _dashboard,
    "webhook retry counts monitored": _of_tables(_retries),
    "dead-letter queue for failed events": _of_tables(_dead_letters),
}
