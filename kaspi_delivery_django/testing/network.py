"""The way to Kaspi inside a test: it leads to a world in memory, whatever address was asked for."""

from collections.abc import Iterable
from typing import Any

import requests

from kaspi_delivery_django.sandbox.adapter import SandboxAdapter
from kaspi_delivery_django.sandbox.world import World


class Crossroads:
    """Has each request answered by the world that its API key belongs to; a foreign key earns a 401."""

    def __init__(self, worlds: Iterable[World]) -> None:
        self._adapters = {world.api_key: SandboxAdapter(world) for world in worlds}

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Answer as the network would, from memory."""
        key = request.headers.get("x-api-key", "")
        adapter = self._adapters.get(key) or next(iter(self._adapters.values()))
        return adapter.send(request, **options)
