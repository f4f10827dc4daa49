import pytest
import requests
from urllib3 import Timeout

from kaspi_delivery_django.sandbox.adapter import SandboxAdapter
from kaspi_delivery_django.sandbox.faults import Fault
from tests.sandbox.conftest import REQUEST

BASE = "https://sandbox.kaspi.kz/delivery"


@pytest.fixture
def session(kaspi):
    """A session whose https requests all go to `FakeKaspi`."""
    with requests.Session() as session:
        session.mount("https://", SandboxAdapter(kaspi))
        session.headers.update({"x-api-key": kaspi.api_key, "Idempotency-Key": "order-742"})
        yield session


def create(session, **options):
    return session.post(f"{BASE}/v1/deliveries", json=REQUEST, **options)


def test_an_answer_like_any_other(session, kaspi):
    """Status, reason, headers, JSON and url are those of a genuine response; a 404 without a body has none."""
    answer = create(session, timeout=(5, 10))
    [delivery_id] = kaspi.deliveries
    assert (answer.status_code, answer.reason) == (201, "Created")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["deliveryId"] == delivery_id
    assert answer.url == f"{BASE}/v1/deliveries"
    answer.raise_for_status()
    assert session.get(f"{BASE}/v1/deliveries/dlv_unknown").content == b""


def test_bytes_query_and_key_arrive(session, kaspi):
    """`FakeKaspi` receives the request target and the body byte for byte."""
    session.post(f"{BASE}/v1/deliveries?a=1", data='{"é":1}'.encode())
    session.post(f"{BASE}/v1/deliveries", data="{}")
    assert [tuple(r)[1:4] for r in kaspi.requests] == [
        ("/delivery/v1/deliveries?a=1", "order-742", '{"é":1}'.encode()),
        ("/delivery/v1/deliveries", "order-742", b"{}"),
    ]


@pytest.mark.parametrize("timeout", [10, (5, 10), Timeout(connect=5, read=10)])
def test_a_late_answer_is_a_read_timeout(session, kaspi, timeout):
    """A latency of the read timeout raises at once, after the booking took place; a shorter one is ignored."""
    kaspi.faults.add(Fault(latency_s=10))
    with pytest.raises(requests.ReadTimeout, match="Read timed out"):
        create(session, timeout=timeout)
    assert len(kaspi.deliveries) == 1
    for longer in (None, timeout, (0.1, None)):
        kaspi.faults.add(Fault(latency_s=9.9))
        assert create(session, timeout=longer).status_code == 201


def test_network_errors(session, kaspi):
    """A drop is the reset that requests reports; a body that ends early raises as it does over the wire."""
    kaspi.faults.add(Fault(drop="after"))
    with pytest.raises(requests.ConnectionError) as caught:
        create(session)
    assert isinstance(caught.value.args[0].args[1], ConnectionResetError)
    kaspi.faults.add(Fault(truncate=True))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        create(session)
