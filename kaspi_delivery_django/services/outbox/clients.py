"""One client per set of credentials, kept for the life of the process."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from kaspi_delivery_django import client
from kaspi_delivery_django.conf import Account

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter
MAX_THREADS = 64
_transport: "BaseAdapter | None" = None


def client_for(account: Account) -> "client.KaspiClient":
    """Return the client of an account, with its open connections."""
    return _client(account.base_url, account.api_key, _transport)


@contextmanager
def transport(adapter: "BaseAdapter") -> Iterator[None]:
    """Send every call through this `requests` adapter instead of the network, for tests."""
    global _transport  # noqa: PLW0603  # one process, one network
    before, _transport = _transport, adapter
    try:
        yield
    finally:
        _transport = before


@lru_cache(maxsize=64)
def _client(base_url: str, api_key: str, adapter: "BaseAdapter | None") -> "client.KaspiClient":
    return client.KaspiClient(api_key, base_url=base_url, transport=adapter, pool_size=MAX_THREADS)
