"""Console blocks about our REST API: the command is sent to the project, and its answer is held against the page's.

In an answer `…` stands for any text, number or list, and a member `"…"` for those that the page leaves out.
"""

import argparse
import json
import re

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from rest_framework.authtoken.models import Token

from kaspi_delivery_django import services
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.docs import shell, shell_blocks
from tests.shop.models import Order

ADDRESS = "https://your-shop"
PLACE = "https://your-shop/kaspi/api/v1/"
ORDER, KNOWN = 742, 17
STATUS = re.compile(r"HTTP/1\.1 (?P<status>\d{3}) .+")
ELIDED = "…"
FLAGGED = {"delivery_id": None, "status": "", "status_at": None, "attention": "outcome_unknown"}


def run(block, context, tmp_path):
    """Send the command as a program with all permissions, and compare what it gets; read any other as a shell block."""
    if PLACE not in block.text:
        shell_blocks.run(block, context, tmp_path)
        return
    typed, *shown = block.text.removeprefix("$ ").splitlines()
    [command] = shell.commands(typed)
    asked = curl_parser().parse_args(command.words[1:])
    headers = dict(header.split(": ", 1) for header in asked.header)
    assert headers["Authorization"] == "Token $TOKEN"
    headers["Authorization"] = f"Token {token()}"
    delivery = prepare(typed)
    path = asked.url.replace(ADDRESS, "").replace(f"/{KNOWN}/", f"/{delivery.pk if delivery else KNOWN}/")
    if asked.data or asked.request == "POST":
        answer = Client().post(path, asked.data or "", "application/json", headers=headers)
    else:
        answer = Client().get(path, headers=headers)
    compare(shown, answer)


def curl_parser():
    """Return what of curl's options the pages use."""
    parser = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    parser.add_argument("-i", action="store_true")
    parser.add_argument("-X", "--request")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("--json", dest="data")
    parser.add_argument("url")
    return parser


def token():
    """Return the key of a program that may do everything."""
    user, _created = User.objects.get_or_create(username="erp")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="kaspi_delivery"))
    return Token.objects.get_or_create(user=user)[0].key


def prepare(typed):
    """Make the order of the page, and its delivery as the command needs it; None for a booking."""
    Delivery.objects.all().delete()
    order = Order.objects.create(pk=ORDER, paid=False)
    Order.objects.update(paid=True)
    if "order_id" in typed:
        return None
    delivery = services.request_delivery(order)
    Worker(log=lambda _line: None).run_round()
    if "reissue" in typed:
        services.cancel_delivery(Delivery.objects.get(pk=delivery.pk), reason="address changed")
        Worker(log=lambda _line: None).run_round()
    elif "acknowledge" in typed or "retry" in typed:
        Delivery.objects.filter(pk=delivery.pk).update(**FLAGGED)
        delivery.calls.update(
            state="stuck", reason="outcome_unknown", unknown_since=timezone.now(), error_code="timeout"
        )
    return delivery


def compare(shown, answer):
    """Hold the answer against what the page shows of it: the status, headers if there are any, and the members."""
    first, *rest = [line for line in shown if line.strip()] or [""]
    assert int(STATUS.fullmatch(first)["status"]) == answer.status_code, answer.content
    while rest and not rest[0].startswith("{"):
        name, value = rest.pop(0).split(": ", 1)
        assert answer[name] == value
    text = answer.content.decode()
    keys = sorted(Delivery.objects.values_list("pk", flat=True))
    for number, pk in enumerate(keys):
        for name in ("id", "return_of"):
            text = text.replace(f'"{name}":{pk},', f'"{name}":{KNOWN + number},')
    found = json.loads(text) if text else None
    wanted = json.loads("\n".join(rest)) if rest else found
    assert difference(wanted, found) == ""


def difference(wanted, found, where="answer"):
    """Return the first place where the answer is not as the page shows it; empty if it is."""
    if wanted == ELIDED:
        return ""
    if isinstance(wanted, dict) and isinstance(found, dict):
        names = wanted.keys() - {ELIDED}
        if names - found.keys() or (ELIDED not in wanted and found.keys() - names):
            return f"{where} has {sorted(found)}, not {sorted(wanted)}"
        return next(filter(None, (difference(wanted[n], found[n], f"{where}.{n}") for n in sorted(names))), "")
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return next(filter(None, (difference(*pair, f"{where}[{n}]") for n, pair in pairs)), "")
    if isinstance(wanted, str) and isinstance(found, str):
        pattern = ".*".join(re.escape(part) for part in wanted.split(ELIDED))
        return "" if re.fullmatch(pattern, found) else f"{where} is {found!r}, not {wanted!r}"
    return "" if wanted == found else f"{where} is {found!r}, not {wanted!r}"
