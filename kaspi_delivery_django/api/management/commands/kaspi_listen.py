"""Show a deployed shop's webhooks on a developer's machine: `manage.py kaspi_listen https://…/kaspi/api/v1/`.

It follows them through the REST API, and forwards them.
"""

import json
import os
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
from django.core.management.base import BaseCommand, CommandError

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.protocol import read_retry_after
from kaspi_delivery_django.client.types import check_base_url
from kaspi_delivery_django.client.webhooks import sign
from kaspi_delivery_django.exceptions import UsageError
from kaspi_delivery_django.management.argtypes import whole_number
from kaspi_delivery_django.management.exits import WRONG_USE, stopped_by_signals

TOKEN = "KASPI_LISTEN_TOKEN"  # noqa: S105  # the variable's name
MOST_LAST = 200
TIMEOUT_S = 15
OVERLAP = 50  # an event with a smaller id may be committed after one with a greater
MOST_SEEN = 10_000
FATAL = frozenset({400, 401, 403, 404, 405})
TOO_MANY = 429


@dataclass(kw_only=True)
class Listener:
    """Polls the events of the API at `url`, and hands each of them to `receive` once, the oldest first."""

    url: str
    token: str = field(repr=False)
    receive: Callable[[dict[str, Any]], object]
    log: Callable[[str], object]
    stop: threading.Event = field(default_factory=threading.Event)
    interval_s: float = 2.0

    def __post_init__(self) -> None:
        self.url = f"{check_base_url(self.url)}/events/"
        self._session = requests.Session()
        self._session.trust_env = False  # a .netrc would replace the token
        self._session.headers["Authorization"] = f"Token {self.token}"
        self._seen: dict[int, None] = {}
        self._last = 0

    def run(self, *, last: int = 0) -> None:
        """Receive the `last` events, and all that come until `stop` is set. Raises `CommandError` when refused."""
        with self._session:
            self._begin(last)
            while not self.stop.wait(self.interval_s):
                for event in self._later():
                    self._take(event)

    def _begin(self, last: int) -> None:
        """Take the last events; the others of the first page are known, however late they are read again."""
        while (page := self._get(self.url, page_size=max(OVERLAP, last))) is None:
            if self.stop.wait(self.interval_s):
                return
        found = page["results"]
        self._seen = {event["id"]: None for event in found[last:]}
        self._last = max(self._seen, default=0)
        for event in reversed(found[:last]):
            self._take(event)

    def _later(self) -> Iterator[dict[str, Any]]:
        """Yield the events after the last one, with those shortly before it."""
        page = self._get(self.url, after=max(0, self._last - OVERLAP), page_size=200)
        while page is not None:
            yield from page["results"]
            following = urlsplit(page["next"] or "").query  # the token goes to no other address than the one given
            page = self._get(f"{self.url}?{following}") if following and not self.stop.is_set() else None

    def _take(self, event: dict[str, Any]) -> None:
        key = event["id"]
        if key in self._seen:
            return
        self._seen[key] = None
        if len(self._seen) > MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        self._last = max(self._last, key)
        self.receive(event)

    def _get(self, url: str, **parameters: int) -> dict[str, Any] | None:
        """Return a page; None if it has to be asked for again. Raises `CommandError`."""
        try:
            answer = self._session.get(url, params=parameters, timeout=TIMEOUT_S, allow_redirects=False)
            document = answer.json()
        except requests.RequestException as err:
            self.log(f"no answer ({type(err).__name__}); trying again")
            return None
        if answer.ok and isinstance(document, dict) and "results" in document:
            return document
        text = document.get("detail") if isinstance(document, dict) else ""
        if answer.status_code in FATAL or answer.is_redirect:
            raise CommandError(f"{answer.status_code} {text or 'no REST API of this app'}")
        self.log(f"{answer.status_code} {text or ''}; trying again")
        if answer.status_code == TOO_MANY:
            self.stop.wait(read_retry_after(answer.headers.get("Retry-After"), datetime.now(UTC)) or 1.0)
        return None


def forward(event: dict[str, Any], *, url: str, secret: str) -> int:
    """Post an event's body to this machine, signed with its own secret. Return the HTTP status; 0 for no answer."""
    body = event["body"].encode()
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "X-Kaspi-Timestamp": stamp,
        "X-Kaspi-Signature": sign(secret, stamp, body),
    }
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.post(url, data=body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False).status_code
        except requests.RequestException:
            return 0


def check_local(url: str) -> str:
    """Return a URL on this machine. Raises `UsageError` for any other: the bodies may name customers."""
    if not url.startswith("http://"):
        raise UsageError("--forward takes an http:// address of this machine")
    return check_base_url(url) + ("/" if url.endswith("/") else "")


def describe(event: dict[str, Any]) -> str:
    """Return one line about an event: no body, which may name a customer."""
    try:
        data = json.loads(event["body"])["data"]
        order = str(data["externalOrderId"])
    except (ValueError, TypeError, KeyError):
        order = "-"
    return f"{event['received_at']} {event['account']} {event['type'] or '-'} {order} {event['state']}"


class Command(BaseCommand):
    """Follow the events until SIGTERM or SIGINT; forward each, signed with this machine's own webhook secret."""

    help = "Print the webhooks that a deployed shop receives, and forward them to this machine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="the shop's REST API, such as https://your-shop/kaspi/api/v1/")
        parser.add_argument("--forward", metavar="URL", help="post each to this address of this machine")
        words = "sign with the webhook secret of this account of this machine's settings"
        parser.add_argument("--account", default=conf.DEFAULT_ACCOUNT, help=f"{words} ({conf.DEFAULT_ACCOUNT})")
        last = partial(whole_number, least=0, most=MOST_LAST)
        parser.add_argument("--last", type=last, default=0, metavar="N", help="begin with the last N webhooks (0)")
        seconds = partial(whole_number, least=1, most=3600)
        parser.add_argument("--every", type=seconds, default=2, metavar="SECONDS", help="ask this often (2)")

    def handle(self, *args: Any, **options: Any) -> None:
        token = os.environ.get(TOKEN, "")
        if not token:
            raise CommandError(f"Set {TOKEN} to the token of a user of the shop's REST API.", returncode=WRONG_USE)
        try:
            target = check_local(options["forward"]) if options["forward"] else ""
            receive = partial(self._receive, target, _secret(options["account"]) if target else "")
            listener = Listener(
                url=options["url"], token=token, receive=receive, log=self._say, interval_s=options["every"]
            )
        except UsageError as err:
            raise CommandError(str(err), returncode=WRONG_USE) from err
        with stopped_by_signals(listener.stop.set):
            self._say("kaspi_listen is ready")
            listener.run(last=options["last"])

    def _receive(self, target: str, secret: str, event: dict[str, Any]) -> None:
        line = describe(event)
        if target:
            status = forward(event, url=target, secret=secret)
            line += f" -> {status or 'no answer'}"
        self._say(line)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _secret(alias: str) -> str:
    account = conf.account(alias)
    if account is None or not account.webhook_secrets:
        raise CommandError(f"The settings have no webhook secret for the account {alias!r}.", returncode=WRONG_USE)
    return account.webhook_secrets[0]
