"""Junk of every kind gets a 4xx and a clear error, never a 500."""

import base64
import json

import pytest
from django.db import connection

from kaspi_delivery_django.api import access
from kaspi_delivery_django.models import Delivery
from tests.api.conftest import LIST, address, problem

pytestmark = pytest.mark.django_db
IDS = ["0", "-1", "1.5", "x", "9" * 19, "9" * 5000, "9223372036854775808", "%00", "1%0a", "٣", "1;drop", "None"]
PARAMETERS = [
    {"stauts": "created"},
    {"status": "x" * 65},
    {"status": [str(number) for number in range(11)]},
    {"status": "a\x00b"},
    {"attention": "everything"},
    {"account": "a\x00"},
    {"search": "\x00"},
    {"search": "x" * 201},
    {"order_id": "1\x00"},
    {"order_id": "9" * 65},
    {"model": "shop"},
    {"model": "shop.Note"},
    {"external_order_id": "x" * 129},
    {"delivery_id": "\x00"},
    {"created_after": "yesterday"},
    {"created_after": "2026-13-01T00:00:00Z"},
    {"created_after": "0001-01-01T00:00:00+14:00"},
    {"created_before": "9999-12-31T23:59:59-14:00"},
    {"updated_after": "2026-03-01T12:00:00 05:00"},
    {"updated_before": "\x00"},
    {"page_size": "0"},
    {"page_size": "-1"},
    {"page_size": "201"},
    {"page_size": "many"},
    {"page_size": "9" * 5000},
    {"cursor": "x" * 5000},
    {"page": "2"},
    {"format": "xml"},
]
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
CURSORS = [
    "x",
    "%00",
    "é",
    "AAAA",
    "p=1",
    "o=-1",
    "o=x",
    "r=x",
    "p=x",
    "p=-1",
    "p=1.5",
    "p=" + "9" * 40,
    "p=%00",
]
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
    """Return a cursor with this content."""
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("key", IDS, ids=lambda key: key[:20])
@pytest.mark.parametrize("action", ["", "cancel/"])
def test_an_id_that_is_none_is_not_found(api, booked, key, action):
    """Whatever stands there."""
    ask = api.post if action else api.get
    answer = ask(f"{LIST}{key}/{action}", {"reason": "late"} if action else None, format="json")
    assert problem(answer) == (404, "not_found")


@pytest.mark.parametrize("parameters", PARAMETERS, ids=lambda one: str(one)[:40])
def test_a_parameter_that_cannot_be_used_is_named(api, booked, parameters):
    """A typing error returns no whole table."""
    answer = api.get(LIST, parameters)
    assert problem(answer) == (400, "invalid_input")
    assert set(answer.json()["errors"]) == set(parameters)


@pytest.mark.parametrize("parameters", LITTLE, ids=ascii)
def test_a_parameter_that_finds_nothing_is_no_error(api, booked, parameters):
    """Text is never part of a statement."""
    answer = api.get(LIST, parameters)
    assert (answer.status_code, answer.json()["results"]) == (200, [])


@pytest.mark.parametrize("cursor", CURSORS, ids=lambda text: text[:12])
def test_a_cursor_that_is_not_ours_is_refused(api, booked, cursor):
    """As text, and as content."""
    for given in (cursor, in_base64(cursor)):
        answer = api.get(LIST, {"cursor": given})
        if answer.status_code != 200:  # base64 of nothing that matters is the first page
            assert problem(answer) == (400, "invalid_cursor")
    if cursor.startswith("p="):
        assert api.get(LIST, {"cursor": in_base64(cursor)}).status_code == 400 or cursor == "p=1"


@pytest.mark.parametrize("cursor", TIMES)
def test_a_cursor_of_another_order_is_refused(api, booked, cursor):
    """A list that is ordered by time has times."""
    answer = api.get(LIST, {"cursor": in_base64(cursor), "created_after": "2001-01-01T00:00:00Z"})
    assert problem(answer) == (400, "invalid_cursor")


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
def test_a_body_that_cannot_be_used_changes_nothing(api, booked, body):
    """Neither a cancel nor a rebooking; with a key or without."""
    for headers in ({}, {"Idempotency-Key": "k"}):
        answer = api.post(address(booked, "cancel"), body, content_type="application/json", headers=headers)
        assert problem(answer) in {(400, "unreadable"), (400, "invalid_input")}
    assert Delivery.objects.get().cancel_requested_at is None


@pytest.mark.parametrize("value", [None, [], {}, 7, "\x00", "x" * 65, True, 1.5])
def test_an_order_that_is_named_by_junk_is_refused(api, booked, value):
    """By each of the three names."""
    for name in ("order_id", "reference", "model"):
        answer = api.post(LIST, json.dumps({"order_id": "1", name: value}), content_type="application/json")
        assert problem(answer)[0] in {400, 404}
    assert Delivery.objects.count() == 1


def test_bodies_of_other_kinds_and_sizes_are_refused(api, booked):
    """Forms, and more than anybody has to say."""
    path = address(booked, "cancel")
    assert problem(api.post(path, {"reason": "late"})) == (415, "unsupported_media_type")
    large = json.dumps({"reason": "x" * 70_000})
    assert problem(api.post(path, large, content_type="application/json")) == (413, "too_large")
    assert problem(api.put(path, "{}", content_type="application/json")) == (405, "method_not_allowed")
    assert problem(api.delete(address(booked))) == (405, "method_not_allowed")
    assert api.get(address(booked), headers={"Accept": "text/html"})["Content-Type"] == "application/json"


def test_a_delivery_of_an_account_that_is_gone_is_shown_and_keeps_its_rules(api, booked):
    """The settings may have lost it."""
    Delivery.objects.update(account="closed")
    assert api.get(address(booked)).json()["account"] == "closed"
    assert api.post(address(booked, "refresh")).status_code == 202


def test_a_body_that_the_project_refuses_is_too_large(api, booked, settings):
    """Django refuses it before our own limit does."""
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert problem(api.post(address(booked, "cancel"), {"reason": "x" * 200}, format="json")) == (413, "too_large")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", ["cancel", ""])
def test_a_slow_body_holds_no_transaction(api, booked, monkeypatch, url):
    """SQLite has one writer: Kaspi's webhooks would wait for the client."""
    inside = []
    parse = access.BoundedJSONParser.parse

    def slow(self, *args, **kwargs):
        inside.append(connection.in_atomic_block)
        return parse(self, *args, **kwargs)

    monkeypatch.setattr(access.BoundedJSONParser, "parse", slow)
    api.post(address(booked, url) if url else LIST, {"reason": "late"}, format="json")
    assert inside == [False]
