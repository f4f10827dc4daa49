"""Whether a webhook that Kaspi sends arrives signed: a test event, and the row that it becomes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from django.urls import NoReverseMatch, reverse

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.exceptions import ConfigurationFault, KaspiError, RateLimited, Refused, UsageError
from kaspi_delivery_django.client.types import LOCAL_HOSTS, is_identifier
from kaspi_delivery_django.doctor.texts import Result, result
from kaspi_delivery_django.models import WebhookEvent
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.services.inbox import receiving
from kaspi_delivery_django.services.outbox import clients

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


def check(account: conf.Account, url: str, wait: Wait) -> Result:
    """Have Kaspi send a test event, and wait until any signed event of its id is in the inbox.

    The id is stored first: the event changes no delivery.
    """
    found = partial(result, account=account.alias)
    if not account.webhook_secrets:
        return found("webhook/no secret", variable=conf.variable_of(account.alias, "WEBHOOK_SECRETS"))
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOCAL_HOSTS:  # others could read it
        return found("webhook/plain http")
    try:
        event_id = clients.client_for(account).send_test_webhook(url, EVENT_TYPE).event_id
    except (KaspiError, UsageError) as err:
        seconds = round(getattr(err, "retry_after_s", None) or 60)
        return found(_case_of(account, err), error=err, seconds=seconds)
    if not is_identifier(event_id):
        return found("webhook/no event id")
    receiving.expect_test(account, event_id)
    arrived = _wait_for(event_id, account, wait)
    if arrived is not None and arrived.state in WebhookEvent.DEAD_LETTERS:
        receiving.end_test(arrived)
    return judge(account, arrived, url=url, waited_s=wait.seconds)


def judge(account: conf.Account, arrived: WebhookEvent | None, *, url: str, waited_s: float) -> Result:
    """Judge the row, or its absence. Pure."""
    found = partial(result, account=account.alias)
    path = _path_of(account.alias)
    if arrived is None:
        variable = conf.variable_of(account.alias, "WEBHOOK_SECRETS")
        return found("webhook/missing", url=url, waited_s=waited_s, variable=variable, path=path)
    if arrived.account != account.alias:
        return found("webhook/another account", arrived=arrived.account, path=path)
    if arrived.attempt > 1 or arrived.received_count > 1:
        return found("webhook/late", attempt=arrived.attempt)
    if arrived.error not in {"", WebhookEvent.Reason.TEST, WebhookEvent.Reason.NO_DELIVERY}:
        return found("webhook/unreadable", error=arrived.error, event_id=arrived.event_id)
    return found("webhook/arrived", url=url)


def _wait_for(event_id: str, account: conf.Account, wait: Wait) -> WebhookEvent | None:
    """Return the event once it is there; one of a strange account only when the time is over."""
    arrived = WebhookEvent.objects.using(db_alias()).filter(received_count__gt=0)
    rows = arrived.filter(event_id=event_id, environment=account.environment)
    own = rows.filter(account=account.alias)
    until = wait.ticks() + wait.seconds
    while (found := own.first()) is None and wait.ticks() < until:
        wait.pause(POLL_S)
    return found or rows.first()


def _case_of(account: conf.Account, err: KaspiError | UsageError) -> str:
    """Return the case of a test webhook that could not be requested."""
    if isinstance(err, RateLimited):
        return "webhook/rate limited"
    if isinstance(err, Refused | UsageError):
        return "webhook/refused"
    if isinstance(err, ConfigurationFault):
        return "webhook/wrong address"
    return "webhook/no sandbox" if account.environment == "local" else "webhook/not requested"


def _path_of(alias: str) -> str:
    name, own = ("webhook", {}) if alias == conf.DEFAULT_ACCOUNT else ("account-webhook", {"account": alias})
    try:
        path = reverse(f"kaspi_delivery:{name}", kwargs=own)
    except NoReverseMatch:  # not routed, which a check reports, or routed without our names
        path = "/".join(["webhook", *own.values()])
    return path.rstrip("/") + "/"
