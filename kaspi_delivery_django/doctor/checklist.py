"""Kaspi's checklist before going live: fifteen items, each judged by what was found. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kaspi_delivery_django import conf
from kaspi_delivery_django.doctor.facts import Surroundings, Tables
from kaspi_delivery_django.doctor.findings import Finding, Verdict, worst

HOSTS = {name: urlsplit(conf.BASE_URLS[name]).hostname for name in ("sandbox", "production")}
NOT_READ = "The tables were not read."
MIGRATE = "Mend the line 'migrations' first."


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item: its number, what Kaspi asks for, the verdict, what was seen, and what to do or to confirm."""

    number: int
    asks: str
    verdict: Verdict
    says: str
    todo: str = ""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that the items are judged by. `tables` is None when they could not be read.

    `urls` says by alias where a test webhook was sent.
    """

    accounts: Sequence[conf.Account]
    findings: Sequence[Finding]
    surroundings: Surroundings
    tables: Tables | None
    urls: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str, *accounts: str) -> Sequence[Finding]:
        """Return the findings of this name, of these accounts or of all."""
        return [found for found in self.findings if found.name == name and (not accounts or found.account in accounts)]

    def verdict(self, name: str) -> Verdict:
        """Return the verdict over this name's findings; open when an account has none, for nothing was proven."""
        found = self.of(name)
        own = {finding.account for finding in found if finding.account}
        is_whole = not own or own == {account.alias for account in self.accounts}
        return worst([finding.verdict for finding in found] + ([] if is_whole else [Verdict.YOURS]))


Judgement = tuple[Verdict, str, str]


def judge(evidence: Evidence) -> Sequence[Item]:
    """Return the fifteen items in Kaspi's order. A pass has nothing to do."""
    judged = [(asks, look(evidence)) for asks, look in ITEMS.items()]
    return [
        Item(number=number, asks=asks, verdict=verdict, says=says, todo="" if verdict is Verdict.PASS else todo)
        for number, (asks, (verdict, says, todo)) in enumerate(judged, start=1)
    ]


def _stored_key(environment: str) -> Callable[[Evidence], Judgement]:
    def look(evidence: Evidence) -> Judgement:
        own = [account for account in evidence.accounts if account.environment == environment]
        if not own:
            return Verdict.YOURS, f"No account here is of {environment}.", "Run this where that key is used."
        names = ", ".join(conf.variable_of(account.alias, "API_KEY") for account in own)
        if not all(account.api_key for account in own):
            return Verdict.FAIL, "A key is missing.", f"Set {names}."
        if all(evidence.surroundings.keys_from_environment.get(account.alias) for account in own):
            return Verdict.PASS, f"It comes from the environment: {names}.", ""
        todo = f"Read it from {names}, or confirm that it lies in a vault and in no repository."
        return Verdict.YOURS, "It does not come from the environment's variable.", todo

    return look


def _key_sent(evidence: Evidence) -> Judgement:
    says = {
        Verdict.PASS: "Every request carries it, and Kaspi took it.",
        Verdict.FAIL: "Kaspi does not take the key, or there is none.",
        Verdict.YOURS: "Kaspi has not said whether it takes the key.",
    }
    verdict = evidence.verdict("key")
    return verdict, says[verdict], "Mend the lines 'key' and 'api', and run this again."


def _idempotency(evidence: Evidence) -> Judgement:
    if evidence.tables is None:
        return Verdict.YOURS, NOT_READ, MIGRATE
    if evidence.tables.has_keyless_calls:
        todo = "Somebody wrote calls by hand: delete them, and book with request_delivery and cancel_delivery."
        return Verdict.FAIL, "A create or a cancel has no idempotency key.", todo
    return Verdict.PASS, "No create and no cancel is without one.", ""


def _outbound(evidence: Evidence) -> Judgement:
    if any(found.verdict is Verdict.FAIL for found in evidence.of("api")):
        return Verdict.FAIL, "Not every account reaches Kaspi.", "Mend the lines 'api'."
    passed = {found.account for found in evidence.of("api")}
    hosts = {urlsplit(account.base_url).hostname for account in evidence.accounts if account.alias in passed}
    missing = [str(host) for host in HOSTS.values() if host not in hosts]
    if not missing:
        return Verdict.PASS, "Both hosts were reached over HTTPS.", ""
    tries = " and ".join(f"curl -sI https://{host}/" for host in missing)
    return Verdict.YOURS, f"Not tried from here: {', '.join(missing)}.", f"Confirm on this server: {tries}"


def _receiver(evidence: Evidence) -> Judgement:
    verdict = evidence.verdict("webhook")
    if verdict is Verdict.FAIL:
        return verdict, "A test webhook did not arrive as it should.", "Mend the line 'webhook'."
    if verdict is Verdict.YOURS or not all(url.startswith("https://") for url in evidence.urls.values()):
        todo = "Run this with --webhook-url and the shop's public https address."
        return Verdict.YOURS, "No test webhook was seen to arrive over HTTPS for every account.", todo
    return verdict, "A test webhook arrived signed, at the first attempt.", ""


def _logged(evidence: Evidence) -> Judgement:
    if evidence.surroundings.logs_webhooks:
        return Verdict.PASS, "The webhook's logger writes warnings; redeliveries are counted in the inbox.", ""
    todo = "Let LOGGING write kaspi_delivery_django.views.webhook at WARNING."
    return Verdict.FAIL, "LOGGING silences the webhook's warnings.", todo


def _unique_ids(evidence: Evidence) -> Judgement:
    if any("E006" in found.says for found in evidence.of("checks")):
        return Verdict.FAIL, "Two adapters can give one id to two orders (E006).", "Mend the line 'checks' about E006."
    if evidence.tables is None:
        return Verdict.FAIL, "The unique constraint may be missing.", MIGRATE
    return Verdict.PASS, "A unique constraint of the database holds it.", ""


def _built(what: str) -> Callable[[Evidence], Judgement]:
    def look(evidence: Evidence) -> Judgement:
        if evidence.tables is None:
            return Verdict.YOURS, NOT_READ, MIGRATE
        if evidence.tables.adapter_failures:
            says = f"The adapter failed for {evidence.tables.adapter_failures} orders."
            return Verdict.FAIL, says, "Mend build_request, then *Retry now* in the admin (filter: adapter_failed)."
        if not evidence.tables.has_booked:
            todo = "Save an order that is to be shipped, and look at its delivery in the admin."
            return Verdict.YOURS, "No order was booked yet.", todo
        return Verdict.PASS, f"Orders were booked, and none goes without {what}: the client refuses it.", ""

    return look


def _notes(evidence: Evidence) -> Judgement:
    if evidence.tables is not None and evidence.tables.has_notes:
        return Verdict.PASS, "A booked delivery carries notes.", ""
    todo = "Return Location(notes=…) from build_request, book one order, and see them in Kaspi's partner console."
    return Verdict.YOURS, "No booked delivery carries notes.", todo


def _alerting(_evidence: Evidence) -> Judgement:
    todo = "Confirm that cron runs kaspi_report with --max-failed-attempts, or that the rules of docs/monitoring.md do."
    return Verdict.YOURS, "Whether somebody is called cannot be seen from here.", todo


def _dashboard(evidence: Evidence) -> Judgement:
    if evidence.surroundings.has_admin:
        return Verdict.PASS, "The admin has it: *Kaspi Delivery*, Dashboard.", ""
    todo = "Install django.contrib.admin and route it, or draw the metrics of docs/monitoring.md."
    return Verdict.YOURS, "The admin, which has it, is not installed here.", todo


def _retries(evidence: Evidence) -> Judgement:
    if evidence.tables is None:
        return Verdict.YOURS, NOT_READ, MIGRATE
    found = evidence.tables.webhooks
    says = f"Events in 24 hours: {found.events}; of them more than once: {found.repeated}."
    todo = "Look why the first attempt was answered late or not at all: *Webhook events*, times received."
    return (Verdict.YOURS if found.repeated else Verdict.PASS), says, todo


def _dead_letters(evidence: Evidence) -> Judgement:
    if evidence.tables is None:
        return Verdict.YOURS, NOT_READ, MIGRATE
    count = evidence.tables.dead_letters
    todo = "Replay or acknowledge them in the admin, *Webhook events*, Dead letters."
    return (Verdict.YOURS if count else Verdict.PASS), f"The inbox keeps them; waiting now: {count}.", todo


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
