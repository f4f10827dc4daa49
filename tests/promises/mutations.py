"""Ways to break the package, each of which breaks a promise that the machine must notice.

A mutation takes pytest's `monkeypatch`; what it changes is put back after the test.
"""

from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

from django.core.exceptions import ObjectDoesNotExist

from kaspi_delivery_django import orders
from kaspi_delivery_django.client import texts
from kaspi_delivery_django.models import calls
from kaspi_delivery_django.services import errors, inbox
from kaspi_delivery_django.services.deliveries import attention, payloads, status
from kaspi_delivery_django.services.outbox import sender
from kaspi_delivery_django.statuses import Transition

TEN_DAYS = timedelta(days=10)


def replay_for_ten_days(monkeypatch):
    """A create of unknown outcome is sent again when Kaspi has long forgotten its key."""
    monkeypatch.setattr(calls, "REPLAY_WINDOW", TEN_DAYS)


def make_a_new_key_for_each_attempt(monkeypatch):
    """Every attempt of a create is a new booking to Kaspi."""
    build = sender._request

    def build_with_new_key(claim):
        request = build(claim)
        headers = {name: f"{value}-{claim.call.attempts}" for name, value in request.headers.items()}
        is_create = request.operation == "create"
        return replace(request, headers={**headers, "Content-Type": "application/json"}) if is_create else request

    monkeypatch.setattr(sender, "_request", build_with_new_key)


def build_the_payload_anew(monkeypatch):
    """Every attempt of a create carries the order as it is at that time, while there is one."""
    build = sender._request

    def build_from_the_order(claim):
        request = build(claim)
        if request.operation != "create":
            return request
        try:
            anew = payloads._build(claim.delivery, payloads.order_of(claim.delivery))
        except (ObjectDoesNotExist, errors.AdapterFailed):
            return request
        return replace(request, body=texts.dump(anew.to_json()).encode())

    monkeypatch.setattr(sender, "_request", build_from_the_order)


def let_late_news_count(monkeypatch):
    """Whatever Kaspi says last is the status."""

    def judge(current, incoming, **_options):
        return Transition.REPEAT if incoming.status == current.status else Transition.ADVANCE

    monkeypatch.setattr(status, "transition", judge)


def tell_nobody(monkeypatch):
    """What needs a person is not put on the list."""
    monkeypatch.setattr(attention, "flag", lambda *_args, **_kwargs: None)


def forget_what_failed(monkeypatch):
    """An event that cannot be applied is answered 2xx all the same, and not kept."""
    monkeypatch.setattr(inbox, "_store_unapplied", lambda _event, _remote, _err, _using: "failed")


def quote_the_error(monkeypatch):
    """The text of the shop's exception goes to the log."""
    monkeypatch.setattr(errors, "describe", str)


def know_an_order_by_its_instance(monkeypatch):
    """An order's identity is the key as somebody spelled it, not as the database returns it."""
    monkeypatch.setattr(orders, "order_key", lambda order, **_options: order.pk)


def send_without_asking(monkeypatch):
    """What was wanted once is sent, whatever the shop has decided since."""
    monkeypatch.setattr(payloads, "current_wish", lambda *_args: payloads.Wish.SEND)


def give_up_at_a_no(monkeypatch):
    """An order that its adapter does not want sent now is cancelled."""
    ask = payloads.current_wish

    def ask_and_give_up(*args):
        word = ask(*args)
        return payloads.Wish.CANCEL if word is payloads.Wish.WAIT else word

    monkeypatch.setattr(payloads, "current_wish", ask_and_give_up)


def ask_in_any_language(monkeypatch):
    """The adapter is asked in the language and the time zone of whoever asks."""
    monkeypatch.setattr(errors, "project_locale", nullcontext)
