"""What asks for a person now, each with its place on the admin's pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.contrib import admin
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from kaspi_delivery_django.admin import showing
from kaspi_delivery_django.figures.accounts import AccountFigures
from kaspi_delivery_django.figures.standing import Standing
from kaspi_delivery_django.models import WebhookEvent

LATE_CALL = timedelta(minutes=15)
SILENT = timedelta(hours=3)
LOST_WORKER = timedelta(minutes=5)

DEAD_LETTERS = {
    WebhookEvent.State.PARKED: _("Events whose delivery is not known yet"),
    WebhookEvent.State.CONFLICT: _("Events in conflict"),
    WebhookEvent.State.FAILED: _("Events that could not be applied"),
}


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something that asks for a person, and where to look."""

    words: str
    url: str = ""


def find(site: admin.AdminSite, now: Standing, accounts: Sequence[AccountFigures]) -> Iterator[Need]:
    """Yield what asks for somebody: single deliveries and events first, then what ails the whole."""
    yield from _of_deliveries(site, now)
    yield from _of_events(site, now)
    yield from _of_calls(site, now)
    yield from _of_webhooks(now)
    for account in accounts:
        yield from _of_account(now, account)


def _of_deliveries(site: admin.AdminSite, now: Standing) -> Iterator[Need]:
    for reason, count in now.attention.items():
        if count:
            words = f"{showing.attention_label(reason)}: {showing.counted(count)}"
            yield Need(words=words, url=showing.list_url(site, "delivery", attention=reason))
    if now.overdue:
        words = ngettext("%(count)s delivery is overdue", "%(count)s deliveries are overdue", now.overdue)
        url = showing.list_url(site, "delivery", promise="overdue")
        yield Need(words=words % {"count": showing.counted(now.overdue)}, url=url)


def _of_events(site: admin.AdminSite, now: Standing) -> Iterator[Need]:
    for state, count in now.dead_letters.items():
        if count:
            words = f"{DEAD_LETTERS[WebhookEvent.State(state)]}: {showing.counted(count)}"
            yield Need(words=words, url=showing.list_url(site, "webhookevent", state=state))


def _of_calls(site: admin.AdminSite, now: Standing) -> Iterator[Need]:
    if now.actions_refused:
        words = ngettext(
            "%(count)s action handed to the worker was refused",
            "%(count)s actions handed to the worker were refused",
            now.actions_refused,
        )
        words = words % {"count": showing.counted(now.actions_refused)}
        yield Need(words=words, url=showing.list_url(site, "pendingaction"))
    if now.oldest_due_age > LATE_CALL:
        words = gettext("A call to Kaspi has been due for %(time)s") % {"time": showing.age(now.oldest_due_at)}
        yield Need(words=words, url=showing.list_url(site, "apicall", state="waiting"))


def _of_webhooks(now: Standing) -> Iterator[Need]:
    on_the_way = sum(count for status, count in now.deliveries.items() if status)
    if not on_the_way:
        return
    if now.silence is None:
        yield Need(words=gettext("Kaspi has never sent a webhook: see that it knows the address"))
    elif now.silence > SILENT:
        silent = showing.age(now.last_webhook_at)
        yield Need(words=gettext("Kaspi has sent no webhook for %(time)s") % {"time": silent})


def _of_account(now: Standing, account: AccountFigures) -> Iterator[Need]:
    if account.is_closed:
        words = gettext("The gate of %(account)s is closed: %(reason)s")
        yield Need(words=words % {"account": account.alias, "reason": account.closed_reason})
    age = account.worker_age(now.read_at)
    if age is None or age > LOST_WORKER:
        words = gettext("No worker is seen for %(account)s: what fails waits until one runs")
        yield Need(words=words % {"account": account.alias})
