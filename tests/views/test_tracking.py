"""The customer's page and endpoint: only a signed link opens them, and they show no personal data."""

import re
from unittest.mock import Mock

import pytest
from django.core import signing
from django.db import OperationalError, connections
from django.template.loader import render_to_string
from django.test import Client
from django.utils import translation
from django.utils.http import http_date
from rest_framework.throttling import BaseThrottle

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.tracking import Tracking, token_of, tracking_path
from kaspi_delivery_django.views import TrackingView
from tests import tracked

pytestmark = pytest.mark.django_db

PAGE, ENDPOINT = "/kaspi/track/{}/", "/kaspi/api/track/{}/"
both = pytest.mark.parametrize("address", [PAGE, ENDPOINT], ids=["page", "endpoint"])
HOSTILE = "<script>alert(1)</script>"
FORGED = ["1", "1.a", f"1.{'a' * 43}", "%00", "%F0%9F%98%80", "a" * 3000]


@pytest.fixture
def read(client, booked):
    """Request the booked delivery at one of both addresses."""

    def get(address, **options):
        return client.get(address.format(token_of(booked)), **options)

    return get


def test_the_page_and_the_endpoint_show_the_status(read, client, booked):
    """In HTML and in JSON; the link may have lost its slash."""
    page, answer = read(PAGE), read(ENDPOINT)
    assert (page.status_code, page["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "Kaspi has your order." in page.text
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json()["explanation"] == "Kaspi has your order."
    assert client.get(tracking_path(booked).rstrip("/")).status_code == 200


@both
def test_a_forged_link_is_404_without_a_query(client, booked, address, monkeypatch, django_assert_num_queries):
    """Promise 6: not even a transaction is opened in a project with ATOMIC_REQUESTS."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    with django_assert_num_queries(0):
        for token in (*FORGED, f"{token_of(booked)}.json", f"{token_of(booked)}.api"):
            assert client.get(address.format(token)).status_code == 404


@both
def test_every_404_is_the_same(client, booked, address):
    """A stranger cannot distinguish a signed token, an anonymized delivery and a deleted one."""
    forged = client.get(address.format("1.a"))
    Delivery.objects.update(blanked_at="2026-03-01T12:00Z")
    pruned = client.get(address.format(token_of(booked)))
    unknown = client.get(address.format(token_of(Delivery(pk=booked.pk + 1))))
    other = client.get(address.format(signing.Signer(sep=".").sign(str(booked.pk))))
    answers = {(one.status_code, one.content, str(sorted(one.headers.items()))) for one in (forged, pruned, unknown)}
    assert answers == {(404, other.content, str(sorted(other.headers.items())))}
    assert address == PAGE or forged.json() == {"detail": "Not found."}


@both
def test_it_is_read_only(client, booked, address):
    """HEAD answers as GET without a body, and every other method is refused, CSRF token or not."""
    link = address.format(token_of(booked))
    for one in (client, Client(enforce_csrf_checks=True)):
        for method in ("post", "put", "patch", "delete", "options"):
            assert getattr(one, method)(link).status_code in ({403, 405} if address == PAGE else {405})
    head, get = client.head(link), client.get(link)
    assert (head.status_code, head.content, head["ETag"]) == (200, b"", get["ETag"])


@both
def test_no_header_and_no_query_changes_the_format(read, client, booked, address):
    """The address alone decides."""
    plain = read(address).content
    for query in ("", "?format=api", "?format=xml", "?format=json"):
        for accept in ("application/xml", "text/html", "garbage", "*/*"):
            response = client.get(address.format(token_of(booked)) + query, headers={"accept": accept})
            assert (response.status_code, response.content) == (200, plain)


@both
@pytest.mark.usefixtures("hostile_host")
def test_the_hosts_defaults_do_not_apply(read, address):
    """No login, no throttle and no renderer of the project."""
    assert read(address).status_code == 200


@both
def test_it_is_neither_cached_by_others_nor_indexed(read, client, address):
    """Nor is the address, which is the key, sent to another site. A 404 has the same headers."""
    for response in (read(address), client.get(address.format("1.a"))):
        assert set(response["Cache-Control"].split(", ")) == {"private", "no-cache"}
        assert response["Referrer-Policy"] == "no-referrer"
        assert response["X-Robots-Tag"] == "noindex, nofollow"


@both
def test_an_unchanged_page_is_not_sent_again(read, address):
    """By its ETag; it has no date of its own."""
    known = {"if-none-match": read(address)["ETag"]}
    again = read(address, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again["Referrer-Policy"] == "no-referrer"
    assert read(address, headers={"if-modified-since": http_date()}).status_code == 200
    Delivery.objects.update(status="in_transit")
    assert read(address, headers=known).status_code == 200


@both
def test_no_personal_data_is_shown(read, booked, address, django_assert_num_queries):
    """No phone, name, address, note, id or figure of the parcel, in three queries: each column has a mark."""
    tracked.add(booked, "accepted")
    secrets = tracked.mark(booked)
    assert len(secrets) > 30
    with django_assert_num_queries(3):
        text = read(address).text
    assert '"accepted"' in text
    assert [secret for secret in secrets if secret in text] == []
    assert tracked.SECRET not in text


@both
def test_an_unavailable_database_is_no_404(read, address, client):
    """The delivery may exist."""
    client.raise_request_exception = False
    with connections["default"].execute_wrapper(Mock(side_effect=OperationalError("away"))):
        assert read(address).status_code == 500


def test_it_is_in_the_readers_language(read, settings):
    """If the project has LocaleMiddleware; Kaspi's status stays as it is."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    with translation.override("en"):
        for language in ("ru", "kk", "en"):
            page = read(PAGE, headers={"accept-language": language}).text
            assert f'<html lang="{language}">' in page
            assert ("Your delivery" in page) is (language == "en")
        answer = read(ENDPOINT, headers={"accept-language": "ru"}).json()
    assert (answer["status"], answer["label"]) == ("created", "Создана")


def test_the_page_keeps_to_the_strictest_policy(read, booked):
    """It has no inline script, style or handler, and a status of markup is text."""
    tracked.stand(booked, HOSTILE, (HOSTILE, 0, True))
    page = read(PAGE).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]* src=)", page) == []


EXTENDED = '{% extends "kaspi_delivery/tracking.html" %}{% block footer %}Call us: 7711{% endblock %}'


@pytest.mark.parametrize(
    ("name", "template", "added"),
    [
        ("page", "<h1>My shop</h1>{% block content %}{% endblock %}", "<h1>My shop</h1>"),
        ("tracking", EXTENDED, "Call us: 7711"),
    ],
)
def test_a_template_of_the_shop_replaces_or_extends_ours(read, settings, tmp_path, name, template, added):
    """One of the same name wins."""
    (tmp_path / "kaspi_delivery").mkdir()
    (tmp_path / "kaspi_delivery" / f"{name}.html").write_text(template)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    page = read(PAGE).text
    assert added in page
    assert "Kaspi has your order." in page


class Refusing(BaseThrottle):
    """A throttle that refuses every request."""

    def allow_request(self, request, view):
        return False


class Limited(TrackingView):
    """The endpoint with a throttle of the shop."""

    throttle_classes = (Refusing,)


def test_a_shop_may_set_its_own_throttle(rf, booked):
    """At its own address."""
    assert Limited.as_view()(rf.get("/"), token=token_of(booked)).status_code == 429


def test_the_page_can_be_rendered_without_a_request():
    """By a shop's tests and mails."""
    page = render_to_string("kaspi_delivery/tracking.html", {"tracking": Tracking(status="accepted")})
    assert "A courier is on the way to the shop." in page
