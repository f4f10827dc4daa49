"""Whether a webhook that Kaspi sends arrives signed: a test event, and the row that it becomes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.urls import NoReverseMatch, reverse

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.exceptions import ConfigurationFault, KaspiError, RateLimited, Refused, UsageError
from kaspi_delivery_django.client.texts import LOCAL_HOSTS
from kaspi_delivery_django.client.types import is_identifier
from kaspi_delivery_django.doctor.probes import LOOK_AT_ADDRESS, START_SANDBOX
from kaspi_delivery_django.doctor.results import Result, failed, manual, passed
from kaspi_delivery_django.models import WebhookEvent
from kaspi_delivery_django.services import inbox
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.services.outbox import clients

NAME = "webhook"
EVENT_TYPE = "delivery.created"
POLL_S = 0.2
PLACEHOLDER = "{account}"


@dataclass(frozen=True, kw_only=True)
class Wait:
    """How long to wait for the event, and with what: the clock and the pause are the caller's."""

    seconds: float
    pause: Callable[[float], object] = time.sleep
    ticks: Callable[[], float] = time.monotonic


def address_of(url: str, account: conf.Account) -> str:
    """Return the URL that Kaspi shall send to. Raises `ValueError` unless it is one of http(s) with a host."""
    address = url.replace(PLACEHOLDER, account.alias)
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        raise ValueError("it must be a whole address such as https://shop.example/kaspi/webhook/")
    return parts.geturl()


def not_tried(account: conf.Account, why: str, todo: str) -> Result:
    """Return the finding of a test that was not made."""
    return manual(NAME, f"No test webhook was asked for: {why}.", todo, account=account.alias)


def check(account: conf.Account, url: str, wait: Wait) -> Result:
    """Have Kaspi send a test event, and wait until any signed event of its id is in the inbox.

    The id is stored first: the event changes no delivery.
    """
    alias = account.alias
    if not account.webhook_secrets:
        variable = conf.variable_of(alias, "WEBHOOK_SECRETS")
        todo = f"Set {variable} to the secret of Kaspi's partner console, and restart."
        return failed(NAME, "WEBHOOK_SECRETS is not set: every webhook is refused.", todo, account=alias)
    if is_open(url):
        todo = "Give the shop a certificate, and name its https address here and in Kaspi's partner console."
        return failed(NAME, "The address is plain http, and Kaspi asks for https.", todo, account=alias)
    try:
        event_id = clients.client_for(account).send_test_webhook(url, EVENT_TYPE).event_id
    except (KaspiError, UsageError) as err:
        return _not_sent(account, err)
    if not is_identifier(event_id):
        says = "Kaspi's response has no event id to wait for."
        return manual(NAME, says, "Look for the event in the admin, *Webhook events*.", account=alias)
    inbox.expect_test(account, event_id)
    arrived = _wait_for(event_id, account, wait)
    if arrived is not None and arrived.state in WebhookEvent.DEAD_LETTERS:
        inbox.end_test(arrived)
    return judge(account, arrived, url=url, waited_s=wait.seconds)


def is_open(url: str) -> bool:
    """Return whether others can read a webhook to this URL."""
    parts = urlsplit(url)
    return parts.scheme != "https" and parts.hostname not in LOCAL_HOSTS


def judge(account: conf.Account, arrived: WebhookEvent | None, *, url: str, waited_s: float) -> Result:
    """Judge the row, or its absence. Pure."""
    alias = account.alias
    if arrived is None:
        says = f"Nothing arrived signed at {url} within {waited_s:g} s."
        return failed(NAME, says, _if_missing(account), account=alias)
    if arrived.account != alias:
        says = f"It arrived at the account {arrived.account}, whose secret it has."
        return failed(NAME, says, f"Send it to {_path_of(alias)}, and give each account its own secret.", account=alias)
    if arrived.attempt > 1 or arrived.received_count > 1:
        says = f"It arrived signed, at attempt {arrived.attempt}: the first had no 2xx within 5 s."
        return failed(
            NAME, says, "Look why the web processes answered late: their number, the database.", account=alias
        )
    if arrived.error not in {"", WebhookEvent.Reason.TEST, WebhookEvent.Reason.NO_DELIVERY}:
        says = f"It arrived signed: address and secret are right. But it could not be read: {arrived.error}."
        todo = f"Compare the event {arrived.event_id} in the admin, *Webhook events*, with one of a real delivery."
        return manual(NAME, says, todo, account=alias)
    return passed(NAME, f"A test webhook arrived signed at {url}.", account=alias)


def _wait_for(event_id: str, account: conf.Account, wait: Wait) -> WebhookEvent | None:
    """Return the event once it is there; one of a strange account only when the time is over."""
    arrived = WebhookEvent.objects.using(db_alias()).filter(received_count__gt=0)
    rows = arrived.filter(event_id=event_id, environment=account.environment)
    own = rows.filter(account=account.alias)
    until = wait.ticks() + wait.seconds
    while (found := own.first()) is None and wait.ticks() < until:
        wait.pause(POLL_S)
    return found or rows.first()


def _not_sent(account: conf.Account, err: KaspiError | UsageError) -> Result:
    says = f"The test webhook could not be requested: {err}."
    return failed(NAME, says, _remedy(account, err), account=account.alias)


def _remedy(account: conf.Account, err: KaspiError | UsageError) -> str:
    if isinstance(err, RateLimited):
        return f"Run it again in {round(err.retry_after_s or 60)} s."
    if isinstance(err, Refused | UsageError):
        return "Correct --webhook-url: Kaspi does not take this address."
    if isinstance(err, ConfigurationFault):
        return LOOK_AT_ADDRESS
    if account.environment == "local":
        return START_SANDBOX
    return "Run it again; if it stays, look at the network in between, then ask Kaspi."


def _if_missing(account: conf.Account) -> str:
    variable = conf.variable_of(account.alias, "WEBHOOK_SECRETS")
    return (
        f"Look for 'webhook rejected' in the web processes' log. If it is there, compare {variable} with the secret in"
        " Kaspi's partner console. If 'webhook unreadable, though signed' is there, the secret is right, and the line"
        " says what is wrong with the body. If neither is, the address is wrong or closed: it must end with"
        f" {_path_of(account.alias)}, and be reached from outside (DNS, certificate, proxy, firewall)."
    )


def _path_of(alias: str) -> str:
    name, own = ("webhook", {}) if alias == conf.DEFAULT_ACCOUNT else ("account-webhook", {"account": alias})
    try:
        path = reverse(f"kaspi_delivery:{name}", kwargs=own)
    except NoReverseMatch:  # not routed, which a check reports, or routed without our names
        path = "/".join(["webhook", *own.values()])
    return path.rstrip("/") + "/"
