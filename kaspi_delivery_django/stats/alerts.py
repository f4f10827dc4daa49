"""The one list of what needs attention now: the dashboard shows it, and alarms to staff are sent about it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import conf
from kaspi_delivery_django.formats import isolated
from kaspi_delivery_django.models import AccountState, Attention, WebhookEvent
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.stats.accounts import Unserved
from kaspi_delivery_django.stats.metrics import METRICS
from kaspi_delivery_django.stats.report import Report
from kaspi_delivery_django.stats.snapshot import Snapshot, age_label, counted, plural_of

DEAD_LETTERS = {
    WebhookEvent.State.PARKED: _("Events whose delivery is not known yet"),
    WebhookEvent.State.CONFLICT: _("Events in conflict"),
    WebhookEvent.State.FAILED: _("Events that could not be applied"),
}


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Something that needs attention, in the reader's language, and which rows it is about.

    `kind` with `account` and `environment`, empty where it is about all of them, stays the same while it lasts. `model`
    and `query` name the admin's list of the rows, and its filter; `url` is that list's, for the dashboard.
    """

    kind: str
    words: str
    model: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    account: str = ""
    environment: str = ""
    url: str = ""


def find(report: Report) -> Iterator[Alert]:
    """Yield the alerts: settings, deliveries and events first, then calls, webhooks and accounts."""
    now = report.snapshot
    yield from _of_hold(report.accounts)
    yield from _of_settings(report.unserved)
    yield from _of_deliveries(now)
    yield from _of_events(now)
    yield from _of_calls(report)
    yield from _of_webhooks(report)
    for account in report.accounts:
        yield from _of_account(now, account)


def _of_deliveries(now: Snapshot) -> Iterator[Alert]:
    for reason, count in now.attention.items():
        if count:
            words = f"{Attention(reason).label}: {counted(count)}"
            yield Alert(kind=f"attention.{reason}", words=words, model="delivery", query={"attention": reason})
    if now.overdue:
        counted_as = plural_of(now.overdue)
        words = ngettext("%(count)s delivery is overdue", "%(count)s deliveries are overdue", counted_as)
        query = {"promise": "overdue"}
        yield Alert(kind="overdue", words=words % {"count": counted(now.overdue)}, model="delivery", query=query)


def _of_events(now: Snapshot) -> Iterator[Alert]:
    for state, count in now.dead_letters.items():
        if count:
            words = f"{DEAD_LETTERS[WebhookEvent.State(state)]}: {counted(count)}"
            yield Alert(kind=f"dead_letters.{state}", words=words, model="webhookevent", query={"state": state})


def _of_calls(report: Report) -> Iterator[Alert]:
    now = report.snapshot
    if now.actions_refused:
        words = ngettext(
            "%(count)s bulk action was refused",
            "%(count)s bulk actions were refused",
            plural_of(now.actions_refused),
        )
        words = words % {"count": counted(now.actions_refused)}
        yield Alert(kind="actions_refused", words=words, model="pendingaction", query={"state": "refused"})
    if now.oldest_action_age.total_seconds() > METRICS["due_age"].limit:
        words = gettext("Actions have waited for the worker for %(time)s") % {"time": age_label(now.oldest_action_at)}
        yield Alert(kind="actions_waiting", words=words, model="pendingaction", query={"state": "waiting"})
    if METRICS["due_age"].is_crossed(report):
        words = gettext("A call to Kaspi has been due for %(time)s") % {"time": age_label(now.oldest_due_at)}
        yield Alert(kind="due_age", words=words, model="apicall", query={"state": "waiting"})


def _of_webhooks(report: Report) -> Iterator[Alert]:
    if not METRICS["silence"].is_crossed(report):
        return
    if report.snapshot.silence is None:
        words = gettext(
            "Kaspi has never sent a webhook: enter this site's webhook address in Kaspi's console, and check the secret"
        )
    else:
        words = gettext(
            "Kaspi has sent no webhook for %(time)s, though parcels are on their way: check the webhook address and"
            " its secret in Kaspi's console"
        ) % {"time": age_label(report.snapshot.last_webhook_at)}
    yield Alert(kind="silence", words=words, model="webhookevent")


def _of_hold(accounts: Sequence[AccountState]) -> Iterator[Alert]:
    held = next((account for account in accounts if account.held_at), None)
    if held is not None:
        words = gettext("Nothing is sent to Kaspi: sending is held for %(time)s (%(user)s)")
        values = {"time": age_label(held.held_at), "user": held.held_by or "—"}
        yield Alert(kind="hold", words=words % values, model="accountstate")


def _of_settings(unserved: Sequence[Unserved]) -> Iterator[Alert]:
    for one in unserved:
        account = conf.account(one.account)
        if account is None:
            words = ngettext(
                "%(count)s delivery was saved for account %(account)s, which the settings no longer have, so Kaspi is"
                " not asked about it: have the account put back, or acknowledge it",
                "%(count)s deliveries were saved for account %(account)s, which the settings no longer have, so Kaspi"
                " is not asked about them: have the account put back, or acknowledge them",
                plural_of(one.deliveries),
            )
        else:
            words = ngettext(
                "%(count)s delivery was saved for environment %(saved)s; this site is set to %(current)s, so Kaspi is"
                " not asked about it: have ENVIRONMENT set back to %(saved)s, or acknowledge it",
                "%(count)s deliveries were saved for environment %(saved)s; this site is set to %(current)s, so Kaspi"
                " is not asked about them: have ENVIRONMENT set back to %(saved)s, or acknowledge them",
                plural_of(one.deliveries),
            )
        current = account and account.environment
        values = {"account": isolated(one.account), "saved": one.environment, "current": current}
        yield Alert(
            kind="unserved",
            words=words % {"count": counted(one.deliveries), **values},
            model="delivery",
            query={"saved_for": f"{one.environment}/{one.account}"},
            account=one.account,
            environment=one.environment,
        )


def _of_account(now: Snapshot, account: AccountState) -> Iterator[Alert]:
    for kind, words in _problems_of(now, account):
        yield Alert(kind=kind, words=words, account=account.account, environment=account.environment)


def _problems_of(now: Snapshot, account: AccountState) -> Iterator[tuple[str, str]]:
    if account.is_paused:
        words = gettext("The circuit breaker of %(account)s is open: %(reason)s")
        values = {"account": account.account, "reason": errors.translated(account.closed_reason)}
        yield "circuit_breaker", words % values
    if announced := account.announced(now.read_at):
        words = gettext("Kaspi announces for %(account)s: %(text)s. Upgrade this app before that day")
        yield "announcement", words % {"account": account.account, "text": announced}
    if account.worker_trouble:
        words = gettext("The worker of %(account)s fails at: %(trouble)s")
        yield "worker_trouble", words % {"account": account.account, "trouble": account.worker_trouble}
    elif account.is_without_worker(now.read_at):
        words = gettext("No worker is seen for %(account)s: retries wait until one runs")
        yield "no_worker", words % {"account": account.account}
