"""What each exchange carries beside its body: its id, our version, and what Kaspi announces of its API."""

import logging
import secrets

import pytest
import requests

import kaspi_delivery_django
from kaspi_delivery_django.client import KaspiError, NotReached, protocol
from kaspi_delivery_django.client import http as client_http
from tests.client.conftest import BOOKED, http, request
from tests.client.test_http import create, head_and_body

SUNSET = ["Deprecation: @1767225600", "Sunset: Thu, 31 Dec 2026 23:59:59 GMT", 'Warning: 299 - "v1 ends"']


@pytest.fixture
def ids(monkeypatch):
    """Number the exchanges."""
    numbers = iter(range(1, 9))
    monkeypatch.setattr(secrets, "token_hex", lambda _size: f"exchange-{next(numbers)}")


def test_the_user_agent_names_the_version(server, connect):
    """Kaspi's support can tell which release a shop runs."""
    server.answer(http(201, BOOKED))
    create(connect(server))
    _, headers, _ = head_and_body(server.requests[0])
    assert headers["User-Agent"] == f"kaspi-delivery-django/{kaspi_delivery_django.__version__}"


def test_the_supported_version_is_named_once():
    """Its path is in no other module of the client or the services."""
    assert (protocol.API_VERSION, protocol.API_PATH) == ("1.0.0", "/v1")
    assert all(
        asked.path.startswith(f"{protocol.API_PATH}/")
        for asked in (
            protocol.create(request(), "k"),
            protocol.get("d"),
            protocol.cancel("d", "", "k"),
            protocol.test_webhook("u", "t"),
        )
    )


def test_every_exchange_has_an_id_of_its_own(server, connect, ids):
    """The id that was sent, unless Kaspi's answer carries one that can be written down."""
    answers = [[], ["X-Request-Id: kaspi-7"], ["X-Request-Id: "], [f"X-Request-Id: {'x' * 200}"]]
    server.answer(*(http(201, BOOKED, headers=headers) for headers in answers))
    client = connect(server)
    assert [create(client).request_id for _ in answers] == ["exchange-1", "kaspi-7", "exchange-3", "exchange-4"]
    sent = [head_and_body(raw)[1]["X-Request-Id"] for raw in server.requests]
    assert sent == [f"exchange-{number}" for number in range(1, 5)]


def test_an_error_has_it_too(server, connect, ids):
    """With an answer, and without."""
    server.answer(http(422, headers=["X-Request-Id: kaspi-1"]), b"")
    client, found = connect(server), []
    for _ in range(2):
        with pytest.raises(KaspiError) as caught:
            create(client)
        found.append(caught.value.request_id)
    assert found == ["kaspi-1", "exchange-2"]


def test_a_connection_that_failed_has_it(monkeypatch, ids):
    """Kaspi may have logged the attempt."""
    client = client_http.KaspiClient("key", base_url="https://kaspi.test")
    monkeypatch.setattr(client._session, "send", lambda *_args, **_options: _fail())
    with pytest.raises(NotReached) as caught:
        create(client)
    assert caught.value.request_id == "exchange-1"


def _fail():
    raise requests.ConnectTimeout


@pytest.mark.parametrize("status", [201, 503])
def test_what_kaspi_announces_is_read(server, connect, status):
    """Of a success and of an error."""
    link = 'Link: <https://kaspi.kz/v2>; rel="successor-version"'
    server.answer(http(status, BOOKED, headers=[*SUNSET, link]))
    try:
        announced = create(connect(server)).announcement
    except KaspiError as err:
        announced = err.announcement
    assert announced == "; ".join([*SUNSET, link])


@pytest.mark.parametrize(
    ("headers", "announced"),
    [
        ({}, ""),
        ({"link": '<https://kaspi.kz/next>; rel="next"'}, ""),
        ({"link": "<https://kaspi.kz/docs>; rel=deprecation"}, "Link: <https://kaspi.kz/docs>; rel=deprecation"),
        ({"sunset": "  "}, ""),
        ({"warning": "299 - a\nb\u0436"}, "Warning: 299 - a b "),
        ({"warning": "x" * 900}, "Warning: " + "x" * (protocol.MAX_ANNOUNCEMENT - 9)),
    ],
)
def test_an_announcement_is_one_short_line(headers, announced):
    """Printable ASCII; a link that says nothing of the version is none."""
    assert protocol.announcement(headers) == announced


@pytest.mark.parametrize("noise", ["rel = " * 300_000, "rel=" + " " * 2_000_000 + "x", 'rel="' + "sunset-" * 300_000])
def test_a_long_link_is_read_in_one_pass(noise):
    """Links of some megabytes in many headers: a search that starts again at each of them would not end in a day."""
    assert protocol.announcement({"link": noise}) in {"", f"Link: {noise}"[: protocol.MAX_ANNOUNCEMENT]}


def test_an_undocumented_success_is_logged_once(server, connect, caplog):
    """A 200 for a create counts as a success; the log says so once in a process."""
    client_http._log_other_success.cache_clear()
    server.answer(*(http(status, BOOKED) for status in (200, 200, 201, 202)))
    client = connect(server)
    with caplog.at_level(logging.WARNING):
        assert {create(client).delivery_id for _ in range(4)} == {"dlv_1"}
    lines = [record.getMessage() for record in caplog.records if "undocumented" in record.getMessage()]
    assert lines == [f"undocumented success: operation=create status={status}" for status in (200, 202)]
