"""Kaspi's checklist before going live: fifteen items, each judged by facts of the process and the tables."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.apps import apps
from django.db.models import QuerySet
from django.urls import NoReverseMatch, reverse

from kaspi_delivery_django import conf
from kaspi_delivery_django.doctor.texts import Item, Outcome, Result, text, worst
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.stats.report import Report, total

WEBHOOK_LOGGER = "kaspi_delivery_django.views.webhook"
DASHBOARD = "admin:app_list"
LATEST = 1000
HOSTS = [urlsplit(conf.BASE_URLS[name]).hostname for name in ("sandbox", "production")]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the items are judged by, beside the process. `stats` is None when the tables could not be read.

    `urls` are the URLs of the test webhooks by alias.
    """

    accounts: Sequence[conf.Account]
    findings: Sequence[Result]
    stats: Report | None
    urls: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> Sequence[Result]:
        """Return the findings of this name."""
        return [found for found in self.findings if found.name == name]

    def verdict(self, name: str) -> Outcome:
        """Return the worst outcome of this name's findings; open when an account has none."""
        found = self.of(name)
        own = {finding.account for finding in found if finding.account}
        is_whole = not own or own == {account.alias for account in self.accounts}
        return worst([finding.verdict for finding in found] + ([] if is_whole else [Outcome.YOURS]))


Found = tuple[str, dict[str, object]]  # the case in the table of texts, and its values
Look = Callable[[Evidence], Found]


def judge(evidence: Evidence) -> Sequence[Item]:
    """Return the fifteen items in Kaspi's order."""
    items = list[Item]()
    for number, (asks, look) in enumerate(ITEMS.items(), start=1):
        case, values = look(evidence)
        verdict, says, todo = text(f"item/{case}", values)
        items.append(Item(number=number, asks=asks, verdict=verdict, says=says, todo=todo))
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
    if any(found.verdict is Outcome.FAIL for found in evidence.of("api")):
        return "not reached", {}
    passed = {found.account for found in evidence.of("api")}
    hosts = {urlsplit(account.base_url).hostname for account in evidence.accounts if account.alias in passed}
    missing = [str(host) for host in HOSTS if host not in hosts]
    commands = " and ".join(f"curl -sI https://{host}/" for host in missing)
    return "not tried" if missing else "reached", {"hosts": ", ".join(missing), "commands": commands}


def _receiver(evidence: Evidence) -> Found:
    verdict = evidence.verdict("webhook")
    if verdict is Outcome.PASS and not all(url.startswith("https://") for url in evidence.urls.values()):
        verdict = Outcome.YOURS
    return f"webhook {verdict}", {}


def _logged(_evidence: Evidence) -> Found:
    return "logged" if logging.getLogger(WEBHOOK_LOGGER).isEnabledFor(logging.WARNING) else "not logged", {}


def _unique_ids(evidence: Evidence) -> Found:
    if any("E006" in found.says for found in evidence.of("checks")):
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


def _of_tables(look: Callable[[Report], Found]) -> Look:
    return lambda evidence: look(evidence.stats) if evidence.stats else ("tables not read", {})


def _idempotency(_stats: Report) -> Found:
    writes = ApiCall.objects.using(db_alias()).exclude(kind=ApiCall.Kind.REFRESH).order_by("-pk")
    keys = writes.values_list("idempotency_key", flat=True)[:LATEST]
    return "no idempotency key" if "" in keys else "idempotency keys", {}


def _built(what: str) -> Look:
    def look(stats: Report) -> Found:
        if count := stats.snapshot.attention.get(Attention.ADAPTER_FAILED, 0):
            return "not built", {"count": count}
        return "booked" if _booked().exists() else "not booked", {"what": what}

    return _of_tables(look)


def _booked() -> QuerySet[Delivery]:
    return Delivery.objects.using(db_alias()).filter(delivery_id__isnull=False)


def _notes(evidence: Evidence) -> Found:
    latest = _booked().order_by("-pk").values_list("pickup_notes", "dropoff_notes") if evidence.stats else ()
    return "notes" if any(pickup or dropoff for pickup, dropoff in latest[:LATEST]) else "no notes", {}


def _retries(stats: Report) -> Found:
    found = stats.webhooks
    return "retries" if found.repeated else "no retries", {"events": found.events, "repeated": found.repeated}


def _dead_letters(stats: Report) -> Found:
    count = total(stats.snapshot.dead_letters)
    return "dead letters" if count else "no dead letters", {"count": count}


ITEMS: Mapping[str, Look] = {
    "sandbox key stored safely": _stored_key("sandbox"),
    "production key out of source control": _stored_key("production"),
    "x-api-key on every request, retries too": lambda evidence: (f"key {evidence.verdict('key')}", {}),
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
