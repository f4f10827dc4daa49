import json

import pytest
import requests
from urllib3 import Timeout
from urllib3.exceptions import IncompleteRead, ProtocolError

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
    """Status, reason, headers, JSON and url are those of a genuine response."""
    answer = create(session, timeout=(5, 10))
    (delivery_id,) = kaspi.deliveries
    assert (answer.status_code, answer.reason) == (201, "Created")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["deliveryId"] == delivery_id
    assert answer.url == f"{BASE}/v1/deliveries"
    answer.raise_for_status()


def test_bytes_query_and_key_arrive(session, kaspi):
    """`FakeKaspi` receives the request target and the body byte for byte."""
    session.post(f"{BASE}/v1/deliveries?a=1", data='{"é":1}'.encode())
    session.post(f"{BASE}/v1/deliveries", data="{}")
    assert [tuple(r)[1:4] for r in kaspi.requests] == [
        ("/delivery/v1/deliveries?a=1", "order-742", '{"é":1}'.encode()),
        ("/delivery/v1/deliveries", "order-742", b"{}"),
    ]


def test_streaming(session):
    """A streamed answer is read from raw or in chunks."""
    whole = create(session).content
    assert create(session, stream=True).raw.read() == whole
    assert b"".join(create(session, stream=True).iter_content(7)) == whole


def test_an_empty_answer(session):
    """A 404 without a body has none."""
    assert session.get(f"{BASE}/v1/deliveries/dlv_unknown").content == b""


@pytest.mark.parametrize("timeout", [10, (5, 10), Timeout(connect=5, read=10)])
def test_a_late_answer_is_a_read_timeout(session, kaspi, timeout):
    """A latency of the read timeout raises at once, after the booking took place."""
    kaspi.faults.add(Fault(latency_s=10))
    with pytest.raises(requests.ReadTimeout, match="Read timed out"):
        create(session, timeout=timeout)
    assert len(kaspi.deliveries) == 1


@pytest.mark.parametrize("timeout", [None, 10, (0.1, None)])
def test_a_slow_answer_in_time(session, kaspi, timeout):
    """A latency under the read timeout, or without one, goes unnoticed."""
    kaspi.faults.add(Fault(latency_s=9.9))
    assert create(session, timeout=timeout).status_code == 201


def test_a_timeout_before_the_booking(session, kaspi):
    """A late error books nothing."""
    kaspi.faults.add(Fault(latency_s=10, status=504))
    with pytest.raises(requests.ReadTimeout):
        create(session, timeout=10)
    assert kaspi.deliveries == {}


@pytest.mark.parametrize(("drop", "booked"), [("before", 0), ("after", 1)])
def test_a_dropped_connection(session, kaspi, drop, booked):
    """A drop is the reset that requests reports."""
    kaspi.faults.add(Fault(drop=drop))
    with pytest.raises(requests.ConnectionError) as caught:
        create(session)
    (cause,) = caught.value.args
    assert isinstance(cause, ProtocolError)
    assert isinstance(cause.args[1], ConnectionResetError)
    assert len(kaspi.deliveries) == booked


def test_a_cut_body(session, kaspi):
    """A body that ends early raises as it does over the wire."""
    kaspi.faults.add(Fault(truncate=True))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        create(session)
    assert len(kaspi.deliveries) == 1


def test_a_cut_body_while_streaming(session, kaspi):
    """The cut shows at the end of what was sent, from raw and from chunks."""
    kaspi.faults.add(Fault(truncate=True, times=2))
    with pytest.raises((IncompleteRead, ProtocolError)):
        create(session, stream=True).raw.read()
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        list(create(session, stream=True).iter_content(7))


def test_a_body_that_is_not_json(session, kaspi):
    """Raw bytes arrive as they are."""
    kaspi.faults.add(Fault(body=b"not json"))
    with pytest.raises(requests.exceptions.JSONDecodeError):
        create(session).json()


def test_no_answer_names_the_people_of_the_request(session, kaspi):
    """An error body repeats no value of the request."""
    session.headers["Idempotency-Key"] = "order-743"
    answer = session.post(f"{BASE}/v1/deliveries", json={**REQUEST, "parcel": {}})
    assert answer.status_code == 400
    assert "Aigerim" not in json.dumps(answer.json())
