import json
from typing import Any

import pytest

from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.responses import Response
from kaspi_delivery_django.sandbox.server import SandboxServer

NEW_YEAR = 1767225600.0
WEBHOOK_URL = "http://shop.test/kaspi/webhook/"
REQUEST = {
    "externalOrderId": "order-742",
    "pickup": {
        "address": "Almaty, Abay 1",
        "contact": {"name": "Warehouse", "phone": "+7 727 111 0000"},
        "notes": "Gate 2",
    },
    "dropoff": {
        "address": "Almaty, Satpaev 2",
        "contact": {"name": "Aigerim", "phone": "+7 701 222 0000"},
    },
    "parcel": {"description": "Books", "weightGrams": 1200, "valueKzt": 45000},
}


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = NEW_YEAR

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds


class Partner:
    """A shop that calls `FakeKaspi` without a network."""

    def __init__(self, kaspi: FakeKaspi):
        self.kaspi = kaspi

    def call(self, method: str, path: str, payload: Any = None, **headers: str | None) -> Response:
        """Send a JSON payload; a header given as None is left out."""
        defaults = {"x-api-key": self.kaspi.api_key, "content-type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in {**defaults, **named}.items() if value is not None}
        body = b"" if payload is None else json.dumps(payload).encode()
        return self.kaspi.handle(method, path, sent, body)

    def create(self, key: str | None = "order-742", **changes: Any) -> Response:
        return self.call("POST", "/v1/deliveries", {**REQUEST, **changes}, idempotency_key=key)

    def cancel(self, delivery_id: str, key: str | None = "order-742-cancel", **body: Any) -> Response:
        path = f"/v1/deliveries/{delivery_id}/cancel"
        return self.call("POST", path, body or None, idempotency_key=key)

    def get(self, delivery_id: str, query: str = "") -> Response:
        return self.call("GET", f"/v1/deliveries/{delivery_id}{query}")

    def book(self) -> str:
        """Create a delivery and return its id."""
        return document(self.create())["deliveryId"]


class Receiver:
    """A webhook receiver that answers with `status`."""

    def __init__(self):
        self.status = 200
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, url: str, headers: dict[str, str], body: bytes) -> int:
        self.bodies.append(json.loads(body))
        return self.status

    @property
    def statuses(self) -> list[str]:
        return [body["data"]["status"] for body in self.bodies]


def document(answer: Response) -> Any:
    """Return the JSON of an answer."""
    return json.loads(answer.body)


def error(answer: Response) -> tuple[int, str]:
    """Return the status and the code of an error."""
    return answer.status, document(answer)["code"]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kaspi(clock):
    return FakeKaspi(clock=clock, seed=742, webhook_url=WEBHOOK_URL)


@pytest.fixture
def partner(kaspi):
    return Partner(kaspi)


@pytest.fixture
def server(kaspi):
    """The sandbox on a port of its own; it sends no webhooks."""
    kaspi.webhook_url = None
    with SandboxServer(kaspi) as server:
        yield server


@pytest.fixture
def receiver():
    return Receiver()
