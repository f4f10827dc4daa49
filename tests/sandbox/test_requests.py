import json

import pytest

from kaspi_delivery_django.sandbox import requests
from tests.sandbox.conftest import REQUEST


def errors_in(body, schema=requests.DELIVERY_REQUEST):
    return requests.read_json(json.dumps(body).encode(), schema)[1]


def test_errors_name_the_whole_path_and_no_value():
    """Each field that is missing, or of another type, is named; what was sent is not repeated."""
    for name in REQUEST:
        assert errors_in({key: value for key, value in REQUEST.items() if key != name}) == [f"{name}: is required"]
    dropoff = {"address": "here", "contact": {"name": "Aigerim", "phone": 77012220000}}
    assert errors_in({**REQUEST, "dropoff": dropoff}) == ["dropoff.contact.phone: must be a string"]
    for weight in (True, "1200", 1200.5, None):
        parcel = {**REQUEST["parcel"], "weightGrams": weight}
        assert errors_in({**REQUEST, "parcel": parcel}) == ["parcel.weightGrams: must be an integer"]
    assert errors_in([REQUEST]) == ["body: must be an object"]
    assert errors_in({"reason": 5}, requests.CANCEL) == ["reason: must be a string"]


@pytest.mark.parametrize(("text", "weight"), [("1200.0", 1200), ("1.2e3", 1200), ("-0.0", 0), ("1e300", int(1e300))])
def test_a_number_without_a_fraction_is_an_integer(text, weight):
    """As in JSON Schema, however it is written; it is kept as an integer."""
    body = json.dumps(REQUEST).replace('"weightGrams": 1200', f'"weightGrams": {text}').encode()
    read, errors = requests.read_json(body, requests.DELIVERY_REQUEST)
    assert errors == []
    assert (read["parcel"]["weightGrams"], type(read["parcel"]["weightGrams"])) == (weight, int)


def test_a_body_that_is_nested_too_deep():
    """What is nested as deep as the interpreter goes would break the answer that repeats it."""
    for depth in (requests.MAX_DEPTH, 900):
        body = b'{"x": %s}' % (b"[" * depth + b"]" * depth)
        assert requests.read_json(body, requests.CANCEL)[1] == ["body: must not be nested deeper than 64 levels"]
    fitting = b'{"x": %s}' % (b"[" * 60 + b"]" * 60)
    assert requests.read_json(fitting, requests.CANCEL)[1] == []


@pytest.mark.parametrize("url", ["shop.test/hook", "ftp://shop.test/", "http://[", "http:///x"])
def test_a_webhook_test(url):
    """It needs an http or https URL with a host, and one of the six event types."""
    body = json.dumps({"url": url, "type": "delivery.lost"}).encode()
    url_error, type_error = requests.read_webhook_test(body)[1]
    assert url_error == "url: must be an http or https URL"
    assert type_error.startswith("type: must be one of delivery.created,")
