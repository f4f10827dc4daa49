"""What the client makes ready by hand is what `requests` would have made of it."""

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from kaspi_delivery_django.client import PRODUCTION_URL, KaspiClient, protocol
from kaspi_delivery_django.client.types import is_identifier
from tests.client.conftest import API_KEY, request

PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)
IDENTIFIERS = st.text(PRINTABLE, min_size=1, max_size=128).filter(is_identifier)


def prepared_by_requests(client, asked):
    headers = {**client._headers, **asked.headers}
    return requests.Request(asked.method, client.base_url + asked.path, headers=headers, data=asked.body).prepare()


def assert_same(client, asked):
    ours, theirs = client._prepared(asked), prepared_by_requests(client, asked)
    assert (ours.method, ours.url, ours.path_url) == (theirs.method, theirs.url, theirs.path_url)
    assert (ours.body, ours.headers) == (theirs.body, theirs.headers)


@pytest.mark.parametrize(
    "base_url",
    [
        PRODUCTION_URL,
        "https://kaspi.test",
        "HTTPS://KASPI.test:8443/A/",
        "https://kaspi.test/a/./b/../c",
        "https://kaspi.test/a%2fb%7e%zz[1]",
        "https://kaspi.test//a",
        "http://[::1]:8900",
    ],
)
@pytest.mark.parametrize(
    "asked",
    [
        protocol.create(request(), "order-742"),
        protocol.get("dlv_1"),
        protocol.cancel("dlv_1", "", "order-742-cancel"),
        protocol.test_webhook("https://shop.test/kaspi/webhook/", "delivery.created"),
    ],
    ids=["create", "get", "cancel", "test webhook"],
)
def test_every_base_url(base_url, asked):
    """The same address, headers and body, however the base URL is written."""
    assert_same(KaspiClient(API_KEY, base_url=base_url), asked)


@given(IDENTIFIERS)
def test_every_delivery_id(delivery_id):
    """Whatever an id is made of, it is quoted once."""
    assert_same(KaspiClient(API_KEY), protocol.get(delivery_id))


def test_the_address_of_a_client_is_not_changed():
    """A request must not go where nobody thinks that it goes."""
    client = KaspiClient(API_KEY)
    with pytest.raises(AttributeError):
        client.base_url = "https://sandbox.kaspi.kz/delivery"
    assert client.base_url == PRODUCTION_URL
