"""The customer's page and endpoint: who has the link reads, nobody else, and nothing that names anybody."""

import re

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
WAYS = ["", "?format=api", "?format=xml", "?format=json"]
HOSTILE = "<script>alert(1)</script>"
FORGED = ["1", "1.a", f"1.{'a' * 43}", "%00", "%F0%9F%98%80", "a" * 3000]


@pytest.fixture
def read(client, booked):
    """Ask one of both addresses for the booked delivery."""

    def ask(address, **options):
        return client.get(address.format(token_of(booked)), **options)

    return ask


@pytest.fixture
def polyglot(settings):
    """Let the project look for the reader's language, and forget it after the test."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    with translation.override("en"):
        yield


def test_the_page_says_how_the_delivery_stands(read):
    """In a page of HTML."""
    response = read(PAGE)
    assert (response.status_code, response["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "Kaspi has your order." in response.text


def test_the_endpoint_says_the_same(read):
    """In JSON."""
    response = read(ENDPOINT)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    assert response.json()["explanation"] == "Kaspi has your order."


def test_the_link_may_have_lost_its_slash(client, booked):
    """A mail program takes it for the end of a sentence."""
    assert client.get(tracking_path(booked).rstrip("/")).status_code == 200


@both
@pytest.mark.parametrize("token", FORGED)
def test_a_forged_link_leads_nowhere_and_asks_nobody(client, booked, address, token, django_assert_num_queries):
    """Promise 6: the database does not hear of it."""
    with django_assert_num_queries(0):
        assert client.get(address.format(token)).status_code == 404


@both
def test_a_forged_link_opens_no_transaction(client, booked, address, monkeypatch, django_assert_num_queries):
    """Not even in a project with ATOMIC_REQUESTS."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    with django_assert_num_queries(0):
        client.get(address.format("1.a"))


@both
def test_every_404_is_the_same(client, booked, address):
    """Who tries cannot tell what is signed, what was pruned, and what is gone."""
    forged = client.get(address.format("1.a"))
    Delivery.objects.update(blanked_at="2026-03-01T12:00Z")
    pruned = client.get(address.format(token_of(booked)))
    unknown = client.get(address.format(token_of(Delivery(pk=booked.pk + 1))))
    other = client.get(address.format(signing.Signer(sep=".").sign(str(booked.pk))))
    answers = {(one.status_code, one.content, str(sorted(one.headers.items()))) for one in (forged, pruned, unknown)}
    assert answers == {(404, other.content, str(sorted(other.headers.items())))}


def test_a_404_of_the_endpoint_is_json(client):
    """An app reads it as it reads the rest."""
    assert client.get(ENDPOINT.format("1.a")).json() == {"detail": "Not found."}


@both
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_it_is_read_only(client, booked, address, method):
    """Nothing else is allowed, CSRF token or not."""
    link = address.format(token_of(booked))
    for one in (client, Client(enforce_csrf_checks=True)):
        response = getattr(one, method)(link)
        assert response.status_code in {403, 405} if address == PAGE else response.status_code == 405


@both
def test_head_answers_as_get_without_a_body(client, booked, address):
    """So that a link can be tried."""
    link = address.format(token_of(booked))
    head, get = client.head(link), client.get(link)
    assert (head.status_code, head.content) == (200, b"")
    assert head["ETag"] == get["ETag"]


@both
@pytest.mark.parametrize("query", WAYS)
def test_no_header_and_no_format_changes_what_it_is(client, booked, address, query):
    """The address alone decides."""
    link = address.format(token_of(booked))
    plain = client.get(link).content
    for accept in ("application/xml", "text/html", "image/png", "garbage", "*/*"):
        response = client.get(link + query, headers={"accept": accept})
        assert (response.status_code, response.content) == (200, plain)


@both
@pytest.mark.parametrize("suffix", [".json", ".api"])
def test_a_format_suffix_is_part_of_the_token(client, booked, address, suffix):
    """Which it spoils."""
    assert client.get(address.format(token_of(booked) + suffix)).status_code == 404


@both
@pytest.mark.usefixtures("hostile_host")
def test_the_host_locks_nobody_out(read, address):
    """No login, no throttle, no renderer of the project stands before it."""
    assert read(address).status_code == 200


@both
def test_no_shared_cache_keeps_it_and_no_index_finds_it(read, client, address):
    """Nor does the address, which is the key, go to anybody else. A 404 says the same."""
    for response in (read(address), client.get(address.format("1.a"))):
        assert set(response["Cache-Control"].split(", ")) == {"private", "no-cache"}
        assert response["Referrer-Policy"] == "no-referrer"
        assert response["X-Robots-Tag"] == "noindex, nofollow"


@both
def test_what_is_known_is_not_sent_again(read, address):
    """Until something changes."""
    known = {"if-none-match": read(address)["ETag"]}
    again = read(address, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again["Referrer-Policy"] == "no-referrer"
    Delivery.objects.update(status="in_transit")
    assert read(address, headers=known).status_code == 200


@both
def test_a_date_proves_nothing(read, address):
    """The page has no time of its own."""
    assert read(address, headers={"if-modified-since": http_date()}).status_code == 200


@both
def test_nothing_is_shown_that_names_anybody(read, booked, address):
    """No phone, no name, no address, no note, no id, no figure of the parcel: each column has a mark."""
    tracked.add(booked, "accepted")
    secrets = tracked.mark(booked)
    assert len(secrets) > 30
    text = read(address).text
    assert '"accepted"' in text
    assert [secret for secret in secrets if secret in text] == []
    assert tracked.SECRET not in text


@both
def test_it_costs_three_queries(read, address, django_assert_num_queries):
    """And the session is not asked for."""
    with django_assert_num_queries(3):
        read(address)


@both
def test_a_database_that_is_away_is_no_404(read, address, client):
    """What cannot be read is not said to be gone."""
    client.raise_request_exception = False

    def fail(*_arguments):
        raise OperationalError("away")

    with connections["default"].execute_wrapper(fail):
        assert read(address).status_code == 500


@pytest.mark.parametrize("language", ["ru", "kk", "en"])
def test_the_page_is_in_the_readers_language(read, polyglot, language):
    """As far as the project looks for that."""
    page = read(PAGE, headers={"accept-language": language}).text
    assert f'<html lang="{language}">' in page
    assert ("Your delivery" in page) is (language == "en")


def test_the_endpoints_words_are_in_the_readers_language(read, polyglot):
    """And Kaspi's own are as they came."""
    known = read(ENDPOINT, headers={"accept-language": "ru"}).json()
    assert (known["status"], known["label"]) == ("created", "Создана")


def test_the_page_keeps_to_the_strictest_policy(read):
    """No script, no style and no handler stands in it."""
    page = read(PAGE).text
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]* src=)", page) == []


def test_a_status_of_markup_is_text(read, booked):
    """Kaspi's words are shown, not obeyed."""
    tracked.stand(booked, HOSTILE, (HOSTILE, 0, True))
    page = read(PAGE).text
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_shops_own_frame_goes_around_the_page(read, settings, tmp_path):
    """A template of the same name wins, and ours stays in it."""
    (tmp_path / "kaspi_delivery").mkdir()
    (tmp_path / "kaspi_delivery" / "page.html").write_text("<h1>My shop</h1>{% block content %}{% endblock %}")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    page = read(PAGE).text
    assert page.startswith("<h1>My shop</h1>")
    assert "Kaspi has your order." in page


def test_a_template_can_extend_ours_of_the_same_name(read, settings, tmp_path):
    """To add a little to it."""
    (tmp_path / "kaspi_delivery").mkdir()
    mine = '{% extends "kaspi_delivery/tracking.html" %}{% block footer %}Call us: 7711{% endblock %}'
    (tmp_path / "kaspi_delivery" / "tracking.html").write_text(mine)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    page = read(PAGE).text
    assert "Call us: 7711" in page
    assert "Kaspi has your order." in page


class NobodyThrottle(BaseThrottle):
    """Lets nobody in."""

    def allow_request(self, request, view):
        """Say no."""
        return False


class Limited(TrackingView):
    """The endpoint with a limit of the shop's."""

    throttle_classes = (NobodyThrottle,)


def test_a_shop_may_set_a_limit_of_its_own(rf, booked):
    """At an address of its own."""
    assert Limited.as_view()(rf.get("/"), token=token_of(booked)).status_code == 429


def test_the_page_can_be_rendered_without_a_request():
    """A shop's tests and mails may."""
    page = render_to_string("kaspi_delivery/tracking.html", {"tracking": Tracking(status="accepted")})
    assert "A courier is on the way to the shop." in page
