"""Console blocks about our REST API: each command is sent to the project, and its answer is held against the page's.

In an answer `…` stands for any text, number or list, and a member `"…"` for those that the page leaves out.
"""

import json
import re
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings
from django.utils import timezone
from rest_framework.authtoken.models import Token

from kaspi_delivery_django import services
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.sandbox.webhooks import sign
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.outbox.worker import Worker
from tests.conftest import event
from tests.docs import shell, shell_blocks
from tests.shop.models import Line, Order

ADDRESS = "https://your-shop"
PLACE = "https://your-shop/kaspi/api/v1/"
ORDER, KNOWN = 742, 17
STATUS = re.compile(r"HTTP/1\.1 (?P<status>\d{3}) .+")
ELIDED = "…"
FLAGGED = {"delivery_id": None, "status": "", "status_at": None, "attention": "outcome_unknown"}


def run(block, context, tmp_path):
    """Send each command as a program with all permissions; compare what it gets."""
    headers = {"Authorization": f"Token {token()}"}
    exchanges = list(shell.exchanges(block.text.splitlines()))
    delivery = prepare(exchanges[0][0])
    for typed, shown in exchanges:
        [command] = shell.commands(typed)
        asked = shell_blocks.CURL.parse_args(command.words[1:])
        own = dict(header.split(": ", 1) for header in asked.header)
        assert own.pop("Authorization", "Token $TOKEN") == "Token $TOKEN"
        method = (asked.request or ("POST" if asked.data else "GET")).lower()
        path = asked.url.replace(ADDRESS, "").replace(f"/{KNOWN}/", f"/{delivery.pk if delivery else KNOWN}/")
        if method == "get":
            answer = Client().get(path, headers=headers | own)
        else:
            answer = Client().post(path, asked.data or "", "application/json", headers=headers | own)
        compare(shown, answer, delivery)


def token():
    """Return the key of a program that may do everything."""
    user, _created = User.objects.get_or_create(username="erp")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="kaspi_delivery"))
    return Token.objects.get_or_create(user=user)[0].key


def prepare(typed):
    """Make the order of the page, and its delivery as the first command needs it; None for a booking.

    An order that is listed goes in parcels.
    """
    Delivery.objects.all().delete()
    order = Order.objects.create(pk=ORDER, paid=False)
    Order.objects.update(paid=True)
    if "--json" in typed and ("order_id" in typed or "reference" in typed):
        return None
    if "order_id" in typed:
        return split(order)
    delivery = services.request_delivery(order)
    Worker(log=lambda _line: None).run_round()
    rows = Delivery.objects.filter(pk=delivery.pk)
    if "events/" in typed:
        receive(event(rows.get(), "accepted"))
    elif "return/" in typed:
        rows.update(status="delivered")
    elif "reissue" in typed:
        services.cancel_delivery(Delivery.objects.get(pk=delivery.pk), reason="address changed")
        Worker(log=lambda _line: None).run_round()
    elif "link" in typed or "acknowledge" in typed or "retry" in typed or "attention" in typed:
        rows.update(**FLAGGED)
        delivery.calls.update(
            state="stuck", reason="outcome_unknown", unknown_since=timezone.now(), error_code="timeout"
        )
    elif "mark-final" in typed:
        rows.update(status="returned")
    elif "send" in typed:
        waits = "not_before" if "early" in typed else "unwanted_since"
        rows.update(delivery_id=None, status="", **{waits: timezone.now() + timedelta(days=1)})
        delivery.calls.update(state="due", next_attempt_at=timezone.now())
    return delivery


def split(order):
    """Book an order that leaves from two warehouses; return the first delivery."""
    Line.objects.bulk_create(Line(order=order, title=key) for key in ("almaty", "astana"))
    adapters = ["tests.shop.adapters.WarehousesAdapter"]
    with override_settings(KASPI_DELIVERY={**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": adapters}):
        delivery = services.request_delivery(order)
        Worker(log=lambda _line: None).run_round()
    return delivery


def receive(document):
    """Post a webhook to the project, as Kaspi does."""
    body, stamp = json.dumps(document).encode(), str(int(clock.now().timestamp()))
    secret = settings.KASPI_DELIVERY["WEBHOOK_SECRETS"][0]
    headers = {"X-Kaspi-Timestamp": stamp, "X-Kaspi-Signature": sign(secret, stamp, body)}
    assert Client().post("/kaspi/webhook/", body, "application/json", headers=headers).status_code == 200


def compare(shown, answer, delivery):
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
