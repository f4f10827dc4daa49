import json

import pytest

from kaspi_delivery_django.sandbox import requests
from tests.sandbox.conftest import REQUEST


def errors_in(body, schema=requests.DELIVERY_REQUEST):
    return requests.read_json(json.dumps(body).encode(), schema)[1]


def test_a_complete_request_fits():
    """The guide's example has no faults, and is returned as it came."""
    assert requests.read_json(json.dumps(REQUEST).encode(), requests.DELIVERY_REQUEST) == (REQUEST, [])


def test_unknown_fields_are_welcome():
    """A field the schema does not name is no fault."""
    assert errors_in({**REQUEST, "gift": True}) == []


@pytest.mark.parametrize("name", REQUEST)
def test_required_fields(name):
    """Each top-level field is missed by name."""
    body = {key: value for key, value in REQUEST.items() if key != name}
    assert errors_in(body) == [f"{name}: is required"]


def test_nested_faults_name_the_whole_path_and_no_value():
    """A wrong phone is reported by path; what was sent is not repeated."""
    dropoff = {"address": "here", "contact": {"name": "Aigerim", "phone": 77012220000}}
    assert errors_in({**REQUEST, "dropoff": dropoff}) == ["dropoff.contact.phone: must be a string"]


@pytest.mark.parametrize("weight", [True, "1200", 1200.5, None])
def test_an_integer_is_nothing_else(weight):
    """True, text, fractions and null are not integers."""
    parcel = {**REQUEST["parcel"], "weightGrams": weight}
    assert errors_in({**REQUEST, "parcel": parcel}) == ["parcel.weightGrams: must be an integer"]


@pytest.mark.parametrize(("text", "weight"), [("1200.0", 1200), ("1.2e3", 1200), ("-0.0", 0), ("1e300", int(1e300))])
def test_a_number_without_a_fraction_is_an_integer(text, weight):
    """As in JSON Schema, however it is written; it is kept as an integer."""
    body = json.dumps(REQUEST).replace('"weightGrams": 1200', f'"weightGrams": {text}').encode()
    read, errors = requests.read_json(body, requests.DELIVERY_REQUEST)
    assert errors == []
    assert (read["parcel"]["weightGrams"], type(read["parcel"]["weightGrams"])) == (weight, int)


NOT_JSON = [b"", b"{", b"\xff", b"[" * 100_000, b"NaN", b"[-Infinity]", b"1e999", b"9" * 5000]
OTHER_ENCODINGS = ["{}".encode(name) for name in ("utf-8-sig", "utf-16", "utf-32")]


@pytest.mark.parametrize("body", NOT_JSON + OTHER_ENCODINGS)
def test_a_body_that_is_not_json(body):
    """Whatever cannot be parsed is one fault, never an exception."""
    assert requests.read_json(body, requests.CANCEL) == ({}, ["body: must be JSON in UTF-8"])


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, [[{"a": ["b\ud83d"]}]]])
def test_a_lone_surrogate(value):
    """A text that UTF-8 cannot encode is refused wherever it stands: no answer could repeat it."""
    assert errors_in({**REQUEST, "x": value}) == ["body: must not contain lone surrogates"]


def test_a_body_that_is_nested_too_deep():
    """What is nested as deep as the interpreter goes would break the answer that repeats it."""
    for depth in (requests.MAX_DEPTH, 900):
        body = b'{"x": %s}' % (b"[" * depth + b"]" * depth)
        assert requests.read_json(body, requests.CANCEL)[1] == ["body: must not be nested deeper than 64 levels"]
    fitting = b'{"x": %s}' % (b"[" * 60 + b"]" * 60)
    assert requests.read_json(fitting, requests.CANCEL)[1] == []


def test_a_body_that_is_no_object():
    """A list is refused as a whole."""
    assert errors_in([REQUEST]) == ["body: must be an object"]


def test_the_cancel_reason_is_optional_but_text():
    """No reason fits, a number does not."""
    assert errors_in({}, requests.CANCEL) == []
    assert errors_in({"reason": 5}, requests.CANCEL) == ["reason: must be a string"]


@pytest.mark.parametrize("url", ["shop.test/hook", "ftp://shop.test/", "http://[", "http:///x"])
def test_a_webhook_test_needs_an_http_url(url):
    """Only http and https URLs with a host can be posted to."""
    body = json.dumps({"url": url, "type": "delivery.created"}).encode()
    assert requests.read_webhook_test(body)[1] == ["url: must be an http or https URL"]


def test_a_webhook_test_needs_a_known_type():
    """The six event types are the only ones."""
    body = json.dumps({"url": "http://shop.test/", "type": "delivery.lost"}).encode()
    assert requests.read_webhook_test(body)[1][0].startswith("type: must be one of delivery.created,")
