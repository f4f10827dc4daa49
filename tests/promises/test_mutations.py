"""The machine finds mutations: a package that is broken on purpose breaks a promise within a bounded number of runs."""

import traceback
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import connection
from hypothesis.stateful import run_state_machine_as_test

from kaspi_delivery_django import orders
from kaspi_delivery_django.client.protocol import dump
from kaspi_delivery_django.models import calls
from kaspi_delivery_django.services import errors, inbox
from kaspi_delivery_django.services.deliveries import attention, payloads, status
from kaspi_delivery_django.services.outbox import sender
from kaspi_delivery_django.statuses import Transition
from tests.promises import promises, scenario
from tests.promises.machine import Machine
from tests.promises.test_machine import settings_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # the machine itself runs on every engine; that it finds what is broken needs to be shown once
    pytest.mark.skipif(connection.vendor != "sqlite", reason="shown on SQLite"),
]


def replay_for_ten_days(monkeypatch):
    """Send a create of unknown outcome again when Kaspi has long forgotten its key."""
    monkeypatch.setattr(calls, "REPLAY_WINDOW", timedelta(days=10))


def make_a_new_key_for_each_attempt(monkeypatch):
    """Make every attempt of a create a new booking to Kaspi."""
    build = sender._request

    def build_with_new_key(claim):
        request = build(claim)
        headers = {name: f"{value}-{claim.call.attempts}" for name, value in request.headers.items()}
        is_create = request.operation == "create"
        return replace(request, headers={**headers, "Content-Type": "application/json"}) if is_create else request

    monkeypatch.setattr(sender, "_request", build_with_new_key)


def build_the_payload_again(monkeypatch):
    """Send with every attempt of a create the order as it is at that time, while there is one."""
    build = sender._request

    def build_from_the_order(claim):
        request = build(claim)
        if request.operation != "create":
            return request
        try:
            rebuilt = payloads._build(claim.delivery, payloads.order_of(claim.delivery))
        except (ObjectDoesNotExist, errors.AdapterFailed):
            return request
        return replace(request, body=dump(rebuilt.to_json()).encode())

    monkeypatch.setattr(sender, "_request", build_from_the_order)


def apply_stale_updates(monkeypatch):
    """Take whatever Kaspi sent last as the status."""

    def transition(current, incoming, **_options):
        return Transition.REPEAT if incoming.status == current.status else Transition.ADVANCE

    monkeypatch.setattr(status, "transition", transition)


def flag_nothing(monkeypatch):
    """Keep what needs manual review off the list."""
    monkeypatch.setattr(attention, "flag", lambda *_args, **_kwargs: None)


def lose_failed_events(monkeypatch):
    """Answer 2xx to an event that cannot be applied, and do not store it."""
    monkeypatch.setattr(inbox, "_store_unapplied", lambda *_args: "failed")


def log_the_error_text(monkeypatch):
    """Log the text of the shop's exception."""
    monkeypatch.setattr(errors, "describe", str)


def identify_an_order_by_its_instance(monkeypatch):
    """Take an order's key as the instance spells it, not as the database returns it."""
    monkeypatch.setattr(orders, "order_key", lambda order, **_options: order.pk)


def send_without_asking(monkeypatch):
    """Send what was wanted once, whatever the shop has decided since."""
    monkeypatch.setattr(payloads, "current_wish", lambda *_args: payloads.Wish.SEND)


def cancel_what_is_not_wanted(monkeypatch):
    """Cancel an order that its adapter does not want sent now."""
    ask = payloads.current_wish

    def ask_and_cancel(*args):
        wish = ask(*args)
        return payloads.Wish.CANCEL if wish is payloads.Wish.WAIT else wish

    monkeypatch.setattr(payloads, "current_wish", ask_and_cancel)


def call_the_adapter_in_any_language(monkeypatch):
    """Call the adapter in the language and the time zone of the caller."""
    monkeypatch.setattr(errors, "project_locale", nullcontext)


LISTED = {
    promises.one_live_parcel,
    promises.a_link_stays,
    promises.nothing_is_lost,
    scenario.everything_has_ended,
}


@pytest.mark.parametrize(
    ("mutation", "broken"),
    [
        (replay_for_ten_days, {promises.one_live_parcel, promises.old_keys_are_left_alone}),
        (make_a_new_key_for_each_attempt, {promises.one_live_parcel, promises.one_order_is_one_order}),
        (apply_stale_updates, {promises.status_goes_forward}),
        (build_the_payload_again, {promises.keys_carry_their_bytes}),
        (flag_nothing, LISTED),
        (lose_failed_events, {promises.what_is_accepted_is_kept}),
        (log_the_error_text, {promises.the_log_has_no_personal_data}),
        (identify_an_order_by_its_instance, {promises.one_order_is_one_order}),
        (send_without_asking, {promises.the_latest_word_counts}),
        (cancel_what_is_not_wanted, {promises.a_no_cancels_nothing}),
        (call_the_adapter_in_any_language, {promises.one_surrounding}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_machine_finds(monkeypatch, mutation, broken):
    """A broken package breaks its promise."""
    mutation(monkeypatch)
    with pytest.raises(AssertionError) as found:
        run_state_machine_as_test(Machine, settings=settings_of(300))
    places = {frame.name for frame in traceback.extract_tb(found.value.__traceback__)}
    assert places & {promise.__name__ for promise in broken}, found.value
