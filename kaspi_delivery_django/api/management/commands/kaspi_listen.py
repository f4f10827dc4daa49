"""Show a deployed shop's webhooks on a developer's machine: `manage.py kaspi_listen https://…/kaspi/api/v1/`."""

import os
from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kaspi_delivery_django import conf
from kaspi_delivery_django.api.listening import Listener, NotListening, check_local, describe, forward
from kaspi_delivery_django.exceptions import UsageError
from kaspi_delivery_django.management.argtypes import whole_number
from kaspi_delivery_django.management.batches import stopped_by_signals

TOKEN = "KASPI_LISTEN_TOKEN"  # noqa: S105  # the variable's name
MOST_LAST = 200


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
            raise CommandError(f"Set {TOKEN} to the token of a user of the shop's REST API.", returncode=2)
        try:
            target = check_local(options["forward"]) if options["forward"] else ""
            receive = partial(self._receive, target, _secret(options["account"]) if target else "")
            listener = Listener(
                url=options["url"], token=token, receive=receive, log=self._say, interval_s=options["every"]
            )
        except UsageError as err:
            raise CommandError(str(err), returncode=2) from err
        with stopped_by_signals(listener.stop.set):
            self._say("kaspi_listen is ready")
            try:
                listener.run(last=options["last"])
            except NotListening as err:
                raise CommandError(str(err)) from err

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
        raise CommandError(f"The settings have no webhook secret for the account {alias!r}.", returncode=2)
    return account.webhook_secrets[0]
