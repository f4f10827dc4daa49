"""Kaspi's checklist before going live: fifteen items, each judged by facts of the process and the tables."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.apps import apps
from django.urls import NoReverseMatch, reverse

from kaspi_delivery_django import conf
from kaspi_delivery_django.doctor.results import Outcome, Result, worst
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.stats import recent
from kaspi_delivery_django.stats.report import total
from kaspi_delivery_django.stats.snapshot import Snapshot

WEBHOOK_LOGGER = "kaspi_delivery_django.views.webhook"
DASHBOARD = "admin:app_list"
LATEST = 1000


@dataclass(frozen=True, kw_only=True)
class ProjectFacts:
    """Facts of the process: where keys come from (by alias), what is logged, whether the admin is installed."""

    keys_from_environment: Mapping[str, bool] = field(default_factory=dict)
    logs_webhooks: bool = False
    has_admin: bool = False


@dataclass(frozen=True, kw_only=True)
class TableFacts:
    """Facts of the tables: of the latest 1,000 calls and deliveries, and of the last day's events."""

    has_keyless_calls: bool = False
    has_booked: bool = False
    has_notes: bool = False
    adapter_failures: int = 0
    dead_letters: int = 0
    webhooks: recent.Webhooks = field(default_factory=lambda: recent.Webhooks(events=0, repeated=0, most_attempts=0))


def project_facts(accounts: Mapping[str, conf.Account]) -> ProjectFacts:
    """Look around."""
    logger = logging.getLogger(WEBHOOK_LOGGER)
    return ProjectFacts(
        keys_from_environment={alias: _is_from_environment(account) for alias, account in accounts.items()},
        logs_webhooks=logger.isEnabledFor(logging.WARNING),
        has_admin=_has_admin(),
    )


def table_facts(current: Snapshot) -> TableFacts:
    """Read the tables, which must be migrated."""
    booked = Delivery.objects.using(db_alias()).filter(delivery_id__isnull=False).order_by("-pk")
    notes = list(booked.values_list("pickup_notes", "dropoff_notes")[:LATEST])
    writes = ApiCall.objects.using(db_alias()).exclude(kind=ApiCall.Kind.REFRESH).order_by("-pk")
    return TableFacts(
        has_keyless_calls="" in writes.values_list("idempotency_key", flat=True)[:LATEST],
        has_booked=bool(notes),
        has_notes=any(pickup or dropoff for pickup, dropoff in notes),
        adapter_failures=current.attention.get(Attention.ADAPTER_FAILED, 0),
        dead_letters=total(current.dead_letters),
        webhooks=recent.webhooks(current.read_at),
    )


def _is_from_environment(account: conf.Account) -> bool:
    given = os.environ.get(conf.variable_of(account.alias, "API_KEY"), "")
    return bool(account.api_key) and given.strip() == account.api_key


def _has_admin() -> bool:
    if not apps.is_installed("django.contrib.admin"):
        return False
    try:
        reverse(DASHBOARD, kwargs={"app_label": "kaspi_delivery"})
    except NoReverseMatch:
        return False
    return True


HOSTS = {name: urlsplit(conf.BASE_URLS[name]).hostname for name in ("sandbox", "production")}
NOT_READ = "The tables were not read."
MIGRATE = "Fix the line 'migrations' first."


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item: its number, Kaspi's demand, the outcome, what was seen, and what to do or to confirm."""

    number: int
    asks: str
    verdict: Outcome
    says: str
    todo: str = ""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The facts that the items are judged by. `tables` is None when they could not be read.

    `urls` are the URLs of the test webhooks by alias.
    """

    accounts: Sequence[conf.Account]
    findings: Sequence[Result]
    surroundings: ProjectFacts
    tables: TableFacts | None
    urls: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str, *accounts: str) -> Sequence[Result]:
        """Return the findings of this name, of these accounts or of all."""
        return [found for found in self.findings if found.name == name and (not accounts or found.account in accounts)]

    def verdict(self, name: str) -> Outcome:
        """Return the worst outcome of this name's findings; open when an account has none."""
        found = self.of(name)
        own = {finding.account for finding in found if finding.account}
        is_whole = not own or own == {account.alias for account in self.accounts}
        return worst([finding.verdict for finding in found] + ([] if is_whole else [Outcome.YOURS]))


Judgement = tuple[Outcome, str, str]


def judge(evidence: Evidence) -> Sequence[Item]:
    """Return the fifteen items in Kaspi's order. A pass has nothing to do."""
    judged = [(asks, look(evidence)) for asks, look in ITEMS.items()]
    return [
        Item(number=number, asks=asks, verdict=verdict, says=says, todo="" if verdict is Outcome.PASS else todo)
        for number, (asks, (verdict, says, todo)) in enumerate(judged, start=1)
    ]


def _stored_key(environment: str) -> Callable[[Evidence], Judgement]:
    def look(evidence: Evidence) -> Judgement:
        own = [account for account in evidence.accounts if account.environment == environment]
        if not own:
            return Outcome.YOURS, f"No account here is of {environment}.", "Run this where that key is used."
        names = ", ".join(conf.variable_of(account.alias, "API_KEY") for account in own)
        if not all(account.api_key for account in own):
            return Outcome.FAIL, "A key is missing.", f"Set {names}."
        if all(evidence.surroundings.keys_from_environment.get(account.alias) for account in own):
            return Outcome.PASS, f"It comes from the environment: {names}.", ""
        todo = f"Read it from {names}, or confirm that it lies in a vault and in no repository."
        return Outcome.YOURS, "It does not come from the environment's variable.", todo

    return look


def _key_sent(evidence: Evidence) -> Judgement:
    says = {
        Outcome.PASS: "Every request carries it, and Kaspi took it.",
        Outcome.FAIL: "Kaspi does not take the key, or there is none.",
        Outcome.YOURS: "Whether Kaspi accepts the key is unknown.",
    }
    verdict = evidence.verdict("key")
    return verdict, says[verdict], "Fix the lines 'key' and 'api', and run this again."


def _idempotency(evidence: Evidence) -> Judgement:
    if evidence.tables is None:
        return Outcome.YOURS, NOT_READ, MIGRATE
    if evidence.tables.has_keyless_calls:
        todo = "Calls were written by hand: delete them, and book with request_delivery and cancel_delivery."
        return Outcome.FAIL, "A create or a cancel has no idempotency key.", todo
    return Outcome.PASS, "No create and no cancel is without one.", ""


def _outbound(evidence: Evidence) -> Judgement:
    if any(found.verdict is Outcome.FAIL for found in evidence.of("api")):
        return Outcome.FAIL, "Not every account reaches Kaspi.", "Fix the lines 'api'."
    passed = {found.account for found in evidence.of("api")}
    hosts = {urlsplit(account.base_url).hostname for account in evidence.accounts if account.alias in passed}
    missing = [str(host) for host in HOSTS.values() if host not in hosts]
    if not missing:
        return Outcome.PASS, "Both hosts were reached over HTTPS.", ""
    tries = " and ".join(f"curl -sI https://{host}/" for host in missing)
    return Outcome.YOURS, f"Not tried from here: {', '.join(missing)}.", f"Confirm on this server: {tries}"


def _receiver(evidence: Evidence) -> Judgement:
    verdict = evidence.verdict("webhook")
    if verdict is Outcome.FAIL:
        return verdict, "A test webhook did not arrive as it should.", "Fix the line 'webhook'."
    if verdict is Outcome.YOURS or not all(url.startswith("https://") for url in evidence.urls.values()):
        todo = "Run this with --webhook-url and the shop's public https address."
        return Outcome.YOURS, "No test webhook was seen to arrive over HTTPS for every account.", todo
    return verdict, "A test webhook arrived signed, at the first attempt.", ""


def _logged(evidence: Evidence) -> Judgement:
    if evidence.surroundings.logs_webhooks:
        return Outcome.PASS, "The webhook's logger writes warnings; redeliveries are counted in the inbox.", ""
    todo = "Let LOGGING write kaspi_delivery_django.views.webhook at WARNING."
    return Outcome.FAIL, "LOGGING silences the webhook's warnings.", todo


def _unique_ids(evidence: Evidence) -> Judgement:
    if any("E006" in found.says for found in evidence.of("checks")):
        return Outcome.FAIL, "Two adapters can give one id to two orders (E006).", "Fix the line 'checks' about E006."
    if evidence.tables is None:
        return Outcome.FAIL, "The unique constraint may be missing.", MIGRATE
    return Outcome.PASS, "A unique constraint of the database holds it.", ""


def _built(what: str) -> Callable[[Evidence], Judgement]:
    def look(evidence: Evidence) -> Judgement:
        if evidence.tables is None:
            return Outcome.YOURS, NOT_READ, MIGRATE
        if evidence.tables.adapter_failures:
            says = f"The adapter failed for {evidence.tables.adapter_failures} orders."
            return Outcome.FAIL, says, "Fix build_request, then *Retry now* in the admin (filter: adapter_failed)."
        if not evidence.tables.has_booked:
            todo = "Save an order that is to be shipped, and look at its delivery in the admin."
            return Outcome.YOURS, "No order was booked yet.", todo
        return Outcome.PASS, f"Orders were booked, and none goes without {what}: the client refuses it.", ""

    return look


def _notes(evidence: Evidence) -> Judgement:
    if evidence.tables is not None and evidence.tables.has_notes:
        return Outcome.PASS, "A booked delivery carries notes.", ""
    todo = "Return Location(notes=…) from build_request, book one order, and see them in Kaspi's partner console."
    return Outcome.YOURS, "No booked delivery carries notes.", todo


def _alerting(_evidence: Evidence) -> Judgement:
    todo = "Confirm that cron runs kaspi_report with --max-failed-attempts, or that Prometheus has docs/alerts.yml."
    return Outcome.YOURS, "Whether an alarm reaches someone cannot be seen from here.", todo


def _dashboard(evidence: Evidence) -> Judgement:
    if evidence.surroundings.has_admin:
        return Outcome.PASS, "The admin has it: *Kaspi Delivery*, Dashboard.", ""
    todo = "Install django.contrib.admin and route it, or draw the metrics of docs/running.md."
    return Outcome.YOURS, "The admin, which has it, is not installed here.", todo


def _retries(evidence: Evidence) -> Judgement:
    if evidence.tables is None:
        return Outcome.YOURS, NOT_READ, MIGRATE
    found = evidence.tables.webhooks
    says = f"Events in 24 hours: {found.events}; of them more than once: {found.repeated}."
    todo = "Look why the first attempt was answered late or not at all: *Webhook events*, times received."
    return (Outcome.YOURS if found.repeated else Outcome.PASS), says, todo


def _dead_letters(evidence: Evidence) -> Judgement:
    if evidence.tables is None:
        return Outcome.YOURS, NOT_READ, MIGRATE
    count = evidence.tables.dead_letters
    todo = "Replay or acknowledge them in the admin, *Webhook events*, Dead letters."
    return (Outcome.YOURS if count else Outcome.PASS), f"The inbox keeps them; waiting now: {count}.", todo


ITEMS: Mapping[str, Callable[[Evidence], Judgement]] = {
    "sandbox key stored safely": _stored_key("sandbox"),
    "production key out of source control": _stored_key("production"),
    "x-api-key on every request, retries too": _key_sent,
    "idempotency keys on create and cancel": _idempotency,
    "outbound HTTPS to both hosts": _outbound,
    "webhook receiver on HTTPS, 2xx under 5 s": _receiver,
    "signature failures and retries are logged": _logged,
    "unique externalOrderId for each delivery": _unique_ids,
    "both contacts have name and phone": _built("a name or a phone"),
    "parcel weight, description and value set": _built("weight, description or value"),
    "courier notes tried": _notes,
    "alerting on 4xx and 5xx spikes": _alerting,
    "dashboard of transitions and cancellation reasons": _dashboard,
    "webhook retry counts monitored": _retries,
    "dead-letter queue for failed events": _dead_letters,
}
