"""Alerts of the dashboard, each with a link to its rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django import conf
from kaspi_delivery_django.admin import display
from kaspi_delivery_django.models import WebhookEvent
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.stats.accounts import AccountStats, Unserved
from kaspi_delivery_django.stats.metrics import METRICS
from kaspi_delivery_django.stats.report import Report
from kaspi_delivery_django.stats.snapshot import Snapshot

Linker = Callable[..., str]


DEAD_LETTERS = {
    WebhookEvent.State.PARKED: _("Events whose delivery is not known yet"),
    WebhookEvent.State.CONFLICT: _("Events in conflict"),
    WebhookEvent.State.FAILED: _("Events that could not be applied"),
}


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Something that needs attention, and the link to its rows."""

    words: str
    url: str = ""


def find(to: Linker, report: Report) -> Iterator[Alert]:
    """Yield the alerts: settings, deliveries and events first, then calls, webhooks and accounts.

    `to` returns the URL of a list, from the model's name and a filter.
    """
    now = report.snapshot
    yield from _of_hold(to, report.accounts)
    yield from _of_settings(to, report.unserved)
    yield from _of_deliveries(to, now)
    yield from _of_events(to, now)
    yield from _of_calls(to, report)
    yield from _of_webhooks(to, report)
    for account in report.accounts:
        yield from _of_account(now, account)


def _of_deliveries(to: Linker, now: Snapshot) -> Iterator[Alert]:
    for reason, count in now.attention.items():
        if count:
            words = f"{display.attention_label(reason)}: {display.counted(count)}"
            yield Alert(words=words, url=to("delivery", attention=reason))
    if now.overdue:
        words = ngettext(
            "%(count)s delivery is overdue", "%(count)s deliveries are overdue", display.plural_of(now.overdue)
        )
        url = to("delivery", promise="overdue")
        yield Alert(words=words % {"count": display.counted(now.overdue)}, url=url)


def _of_events(to: Linker, now: Snapshot) -> Iterator[Alert]:
    for state, count in now.dead_letters.items():
        if count:
            words = f"{DEAD_LETTERS[WebhookEvent.State(state)]}: {display.counted(count)}"
            yield Alert(words=words, url=to("webhookevent", state=state))


def _of_calls(to: Linker, report: Report) -> Iterator[Alert]:
    now = report.snapshot
    if now.actions_refused:
        words = ngettext(
            "%(count)s bulk action was refused",
            "%(count)s bulk actions were refused",
            display.plural_of(now.actions_refused),
        )
        words = words % {"count": display.counted(now.actions_refused)}
        yield Alert(words=words, url=to("pendingaction", state="refused"))
    if now.oldest_action_age.total_seconds() > METRICS["due_age"].limit:
        words = gettext("Actions have waited for the worker for %(time)s") % {"time": display.age(now.oldest_action_at)}
        yield Alert(words=words, url=to("pendingaction", state="waiting"))
    if METRICS["due_age"].is_crossed(report):
        words = gettext("A call to Kaspi has been due for %(time)s") % {"time": display.age(now.oldest_due_at)}
        yield Alert(words=words, url=to("apicall", state="waiting"))


def _of_webhooks(to: Linker, report: Report) -> Iterator[Alert]:
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
        ) % {"time": display.age(report.snapshot.last_webhook_at)}
    yield Alert(words=words, url=to("webhookevent"))


def _of_hold(to: Linker, accounts: Sequence[AccountStats]) -> Iterator[Alert]:
    held = next((account for account in accounts if account.held_at), None)
    if held is not None:
        words = gettext("Nothing is sent to Kaspi: sending is held for %(time)s (%(user)s)")
        values = {"time": display.age(held.held_at), "user": held.held_by or "—"}
        yield Alert(words=words % values, url=to("accountstate"))


def _of_settings(to: Linker, unserved: Sequence[Unserved]) -> Iterator[Alert]:
    for one in unserved:
        account = conf.account(one.account)
        if account is None:
            words = ngettext(
                "%(count)s delivery was saved for account %(account)s, which the settings no longer have, so Kaspi is"
                " not asked about it: have the account put back, or acknowledge it",
                "%(count)s deliveries were saved for account %(account)s, which the settings no longer have, so Kaspi"
                " is not asked about them: have the account put back, or acknowledge them",
                display.plural_of(one.deliveries),
            )
        else:
            words = ngettext(
                "%(count)s delivery was saved for environment %(saved)s; this site is set to %(current)s, so Kaspi is"
                " not asked about it: have ENVIRONMENT set back to %(saved)s, or acknowledge it",
                "%(count)s deliveries were saved for environment %(saved)s; this site is set to %(current)s, so Kaspi"
                " is not asked about them: have ENVIRONMENT set back to %(saved)s, or acknowledge them",
                display.plural_of(one.deliveries),
            )
        current = account and account.environment
        values = {"account": display.isolated(one.account), "saved": one.environment, "current": current}
        url = to("delivery", saved_for=f"{one.environment}/{one.account}")
        yield Alert(words=words % {"count": display.counted(one.deliveries), **values}, url=url)


def _of_account(now: Snapshot, account: AccountStats) -> Iterator[Alert]:
    if account.is_closed:
        words = gettext("The circuit breaker of %(account)s is open: %(reason)s")
        yield Alert(words=words % {"account": account.alias, "reason": errors.translated(account.closed_reason)})
    if announced := account.announced(now.read_at):
        words = gettext("Kaspi announces for %(account)s: %(text)s. Upgrade this app before that day")
        yield Alert(words=words % {"account": account.alias, "text": announced})
    if account.worker_trouble:
        words = gettext("The worker of %(account)s fails at: %(trouble)s")
        yield Alert(words=words % {"account": account.alias, "trouble": account.worker_trouble})
    elif account.is_without_worker(now.read_at):
        words = gettext("No worker is seen for %(account)s: retries wait until one runs")
        yield Alert(words=words % {"account": account.alias})
