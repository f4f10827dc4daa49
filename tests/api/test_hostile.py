"""Junk of every kind gets a 4xx and a clear error, never a 500."""

import base64
import json

import pytest
from django.db import connection

from kaspi_delivery_django.api.endpoints import BoundedJSONParser
from kaspi_delivery_django.models import Delivery
from tests.api.conftest import LIST, address, problem

pytestmark = pytest.mark.django_db
IDS = ["0", "-1", "1.5", "x", "9" * 19, "9" * 5000, "9223372036854775808", "%00", "1%0a", "٣", "1;drop", "None"]
PARAMETERS = {
    "stauts": ["created"],
    "status": ["x" * 65, [str(number) for number in range(11)], "a\x00b"],
    "attention": ["everything"],
    "account": ["a\x00"],
    "search": ["\x00", "x" * 201],
    "order_id": ["1\x00", "9" * 65],
    "model": ["shop", "shop.Note"],
    "external_order_id": ["x" * 129],
    "delivery_id": ["\x00"],
    "created_after": ["yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00"],
    "created_before": ["9999-12-31T23:59:59-14:00"],
    "updated_after": ["2026-03-01T12:00:00 05:00"],
    "updated_before": ["\x00"],
    "page_size": ["0", "-1", "201", "many", "9" * 5000],
    "cursor": ["x" * 5000],
    "page": ["2"],
    "format": ["xml"],
}
LITTLE = [
    {"search": "'; drop table--"},
    {"search": "%_\\"},
    {"search": "🙂"},
    {"search": "\ud83d".encode("utf-8", "surrogatepass")},
    {"order_id": "9" * 64},
    {"order_id": "-5"},
    {"status": "no such status"},
    {"created_before": "0001-01-01T00:00:00Z"},
    {"updated_after": "9999-12-31T23:59:59.999999Z"},
    {"created_after": "2026-03-01T12:00:00+05:00", "created_before": "2026-03-01T12:00:00+05:00"},
]
CURSORS = ["x", "%00", "é", "AAAA", "p=1", "o=-1", "o=x", "r=x"]
POSITIONS = ["p=x", "p=-1", "p=1.5", "p=" + "9" * 40, "p=%00"]
TIMES = ["p=1", "p=2026-03-01", "p=2026-03-01 12:00:00", "p=0001-01-01 00:00:00+14:00", "p=9999-12-31 23:59:59-14:00"]
BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"7",
    b'"x"',
    b"\xff\xfe",
    b"[" * 60_000,
    b'{"a":' * 12_000,
    b'{"reason": NaN}',
    b'{"reason": ' + b"9" * 5000 + b"}",
    b'{"reason": null}',
    b'{"reason": ""}',
    b'{"reason": "   "}',
    b'{"reason": []}',
    b'{"reason": {}}',
    b'{"reason": "\\u0000"}',
    b'{"reason": "\\ud800"}',
    b'{"reason": "' + b"x" * 501 + b'"}',
    b'{"reason": "late", "order": 1}',
    b'{"reson": "late"}',
    b'{"\\ud800": 1}',
]


def in_base64(text):
    return base64.b64encode(text.encode()).decode()


def test_an_id_that_is_none_is_not_found(api, booked):
    """Whatever stands there."""
    answers = {key: api.get(f"{LIST}{key}/") for key in IDS}
    answers |= {f"{key}/cancel": api.post(f"{LIST}{key}/cancel/", {"reason": "late"}, format="json") for key in IDS}
    assert {name for name, answer in answers.items() if problem(answer) != (404, "not_found")} == set()


def test_a_parameter_that_cannot_be_used_is_named(api, booked):
    """A typing error returns no whole table."""
    for name, values in PARAMETERS.items():
        for value in values:
            answer = api.get(LIST, {name: value})
            assert problem(answer) == (400, "invalid_input"), (name, value)
            assert set(answer.json()["errors"]) == {name}


def test_a_parameter_that_finds_nothing_is_no_error(api, booked):
    """Text is never part of a statement."""
    answers = [(parameters, api.get(LIST, parameters)) for parameters in LITTLE]
    assert [one for one, answer in answers if (answer.status_code, answer.json().get("results")) != (200, [])] == []


def test_a_cursor_that_is_not_ours_is_refused(api, booked):
    """As text, and as content; base64 of nothing that matters is the first page, and a list by time has times."""
    by_time = {"created_after": "2001-01-01T00:00:00Z"}
    wrong = [api.get(LIST, {"cursor": in_base64(text)}) for text in POSITIONS]
    wrong += [api.get(LIST, {"cursor": in_base64(text), **by_time}) for text in TIMES]
    assert {problem(answer) for answer in wrong} == {(400, "invalid_cursor")}
    others = [api.get(LIST, {"cursor": given}) for text in CURSORS for given in (text, in_base64(text))]
    assert {problem(answer) for answer in others if answer.status_code != 200} == {(400, "invalid_cursor")}


def test_a_body_that_cannot_be_used_changes_nothing(api, booked):
    """With a key or without."""
    for headers in ({}, {"Idempotency-Key": "k"}):
        for body in BODIES:
            answer = api.post(address(booked, "cancel"), body, content_type="application/json", headers=headers)
            assert problem(answer) in {(400, "unreadable"), (400, "invalid_input")}, body[:40]
    assert Delivery.objects.get().cancel_requested_at is None


def test_an_order_that_is_named_by_junk_is_refused(api, booked):
    """By each of the three names."""
    for value in (None, [], {}, 7, "\x00", "x" * 65, True, 1.5):
        for name in ("order_id", "reference", "model"):
            answer = api.post(LIST, json.dumps({"order_id": "1", name: value}), content_type="application/json")
            assert problem(answer)[0] in {400, 404}, (name, value)
    assert Delivery.objects.count() == 1


def test_bodies_of_other_kinds_and_sizes_are_refused(api, booked, settings):
    """Forms, bodies that are too large, and what Django refuses before our own limit does."""
    path = address(booked, "cancel")
    assert problem(api.post(path, {"reason": "late"})) == (415, "unsupported_media_type")
    large = json.dumps({"reason": "x" * 70_000})
    assert problem(api.post(path, large, content_type="application/json")) == (413, "too_large")
    assert problem(api.put(path, "{}", content_type="application/json")) == (405, "method_not_allowed")
    assert problem(api.delete(address(booked))) == (405, "method_not_allowed")
    assert api.get(address(booked), headers={"Accept": "text/html"})["Content-Type"] == "application/json"
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert problem(api.post(path, {"reason": "x" * 200}, format="json")) == (413, "too_large")


def test_a_delivery_of_an_account_that_is_gone_is_shown_and_keeps_its_rules(api, booked):
    """The settings may have lost it."""
    Delivery.objects.update(account="closed")
    assert api.get(address(booked)).json()["account"] == "closed"
    assert api.post(address(booked, "refresh")).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_a_slow_body_holds_no_transaction(api, booked, monkeypatch):
    """SQLite has one writer: Kaspi's webhooks would wait for the client."""
    inside = []
    parse = BoundedJSONParser.parse

    def slow(self, *args, **kwargs):
        inside.append(connection.in_atomic_block)
        return parse(self, *args, **kwargs)

    monkeypatch.setattr(BoundedJSONParser, "parse", slow)
    for path in (address(booked, "cancel"), LIST):
        api.post(path, {"reason": "late"}, format="json")
    assert inside == [False, False]
