import pytest

from kaspi_delivery_django.client import UsageError, protocol
from tests.client.conftest import PERSONAL, request

KEYED = {"Content-Type": "application/json", "Idempotency-Key": "the-key"}


def test_create():
    """A create is a POST of compact UTF-8 JSON, keys in Kaspi's order, with its key."""
    name, phone, address, notes = PERSONAL
    contact = f'{{"name":"{name}","phone":"{phone}"}}'
    assert protocol.create(request(), "the-key") == protocol.Request(
        operation="create",
        method="POST",
        path="/v1/deliveries",
        headers=KEYED,
        body=(
            '{"externalOrderId":"order-742",'
            f'"pickup":{{"address":"{address}","contact":{contact}}},'
            f'"dropoff":{{"address":"{address}","contact":{contact},"notes":"{notes}"}},'
            '"parcel":{"description":"Книги","weightGrams":1200,"valueKzt":45000}}'
        ).encode(),
        external_order_id="order-742",
    )


def test_stored_payloads():
    """A payload that was stored before is sent byte for byte, whatever it has."""
    stored = ' {"b": 1,\n"a":"Ә"} '
    built = protocol.create_from_text(stored, "the-key", "order-742")
    assert (built.body, built.headers) == (stored.encode(), KEYED)
    assert protocol.cancel_from_text("dlv_1", stored, "the-key").body == stored.encode()


def test_create_needs_an_external_order_id():
    """The package fills it in; the plain client does not guess."""
    with pytest.raises(UsageError, match=r"external_order_id must be set"):
        protocol.create(request(external_order_id=""), "the-key")


@pytest.mark.parametrize(("wanted", "word"), [(True, "true"), (False, "false")])
def test_get(wanted, word):
    """A get has no body, no idempotency key, and names whether the history is wanted."""
    assert protocol.get("dlv_1", include_history=wanted) == protocol.Request(
        operation="get",
        method="GET",
        path=f"/v1/deliveries/dlv_1?includeHistory={word}",
        delivery_id="dlv_1",
    )


@pytest.mark.parametrize(("reason", "body"), [("", "{}"), ("жоқ", '{"reason":"жоқ"}')])
def test_cancel(reason, body):
    """A cancel is a POST whose payload is the reason, or an empty object."""
    assert protocol.cancel("dlv_1", reason, "the-key") == protocol.Request(
        operation="cancel",
        method="POST",
        path="/v1/deliveries/dlv_1/cancel",
        headers=KEYED,
        body=body.encode(),
        delivery_id="dlv_1",
    )


def test_test_webhook():
    """A test webhook is a POST of the URL and the type; Kaspi asks for no key."""
    assert protocol.test_webhook("https://shop.kz/k/", "delivery.created") == protocol.Request(
        operation="test_webhook",
        method="POST",
        path="/v1/webhooks/test",
        headers={"Content-Type": "application/json"},
        body=b'{"url":"https://shop.kz/k/","type":"delivery.created"}',
    )
    for kind in ("", "delivery created", "x" * 65, "a\n", None):
        with pytest.raises(UsageError, match="event type"):
            protocol.test_webhook("https://shop.kz/", kind)


@pytest.mark.parametrize("text", ["Айгерим\ud800", "Айгерим\0", 5, None])
def test_texts_that_cannot_be_sent(text):
    """A reason or a URL that is no UTF-8 text is refused, and is not repeated."""
    with pytest.raises(UsageError) as reason:
        protocol.cancel("dlv_1", text, "the-key")
    with pytest.raises(UsageError) as url:
        protocol.test_webhook(text, "delivery.created")
    assert "Айгерим" not in f"{reason.value!r} {url.value!r}"


@pytest.mark.parametrize(
    ("delivery_id", "quoted"),
    [
        ("dlv_01hfz18tnb7tqw~._-", "dlv_01hfz18tnb7tqw~._-"),
        ("../x", "..%2Fx"),
        ("%2e%2e", "%252e%252e"),
        ("a?b#c d", "a%3Fb%23c%20d"),
        ("a@b:c\\d", "a%40b%3Ac%5Cd"),
    ],
)
@pytest.mark.failure_mode("request: ids and line breaks")
def test_ids_are_quoted(delivery_id, quoted):
    """An id stays one segment of the path, whatever it is made of."""
    assert protocol.get(delivery_id).path == f"/v1/deliveries/{quoted}?includeHistory=false"
    assert protocol.cancel(delivery_id, "", "k").path == f"/v1/deliveries/{quoted}/cancel"


@pytest.mark.parametrize("bad", ["", ".", "..", " x", "x\r\n", "a\nb", "\0", "ид", "x" * 129, None])
def test_ids_that_cannot_be_asked_for(bad):
    """What is no id never becomes a path."""
    with pytest.raises(UsageError, match="delivery id"):
        protocol.get(bad)
    with pytest.raises(UsageError, match="delivery id"):
        protocol.cancel(bad, "", "k")


@pytest.mark.parametrize("key", ["", "k\r\nx-api-key: other", "k\r", "k\n", " k", "k ", "k\0", "қ", "k" * 256, None])
def test_keys_that_cannot_stand_in_a_header(key):
    """No create and no cancel leaves without a key, nor with a second header hidden in it."""
    with pytest.raises(UsageError, match="the idempotency key must be"):
        protocol.create(request(), key)
    with pytest.raises(UsageError, match="the idempotency key must be"):
        protocol.cancel("dlv_1", "", key)
    assert protocol.create(request(), "~ " * 127 + "~").headers["Idempotency-Key"] == "~ " * 127 + "~"
