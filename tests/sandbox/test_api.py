import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.deliveries import ROUTE
from kaspi_delivery_django.sandbox.server import Courier
from tests.sandbox.conftest import REQUEST, WEBHOOK_URL, Partner, document, error

REPLAY = "X-Idempotent-Replay"


def test_create_and_get(partner, kaspi):
    """201 with DeliveryCreated; a GET has the request too, and never a field of ours that a request has overwritten."""
    answer = partner.create(history="mine", deliveryId="dlv_mine", gift=True)
    [delivery_id] = kaspi.deliveries
    created = {
        "deliveryId": delivery_id,
        "status": "created",
        "trackingUrl": f"https://track.kaspi.kz/{delivery_id}",
        "eta": {"pickupBy": "2026-01-01T01:00:00Z", "deliveryBy": "2026-01-01T04:00:00Z"},
    }
    assert (answer.status, document(answer)) == (201, created)
    got = partner.get(delivery_id)
    assert (got.status, document(got)) == (200, {**REQUEST, **created, "createdAt": "2026-01-01T00:00:00Z"})


def test_ids(partner, clock):
    """An id is dlv_ and fourteen lower-case letters or digits, which a seed repeats; the guide's has its own."""
    delivery_id = partner.book()
    prefix, _, rest = delivery_id.partition("_")
    assert (prefix, len(rest), rest.isalnum(), rest.lower()) == ("dlv", 14, True, rest)
    assert Partner(FakeKaspi(clock=clock, seed=742)).book() == delivery_id
    ids = [document(partner.create(None, externalOrderId="order-2024-0191"))["deliveryId"] for _ in range(2)]
    assert ids[0] == "dlv_01hfz18tnb7tqw" != ids[1]


def test_history(partner, kaspi):
    """With includeHistory=true, and only then, the statuses passed are listed with time and notes."""
    delivery_id = partner.book()
    kaspi.move(delivery_id, "accepted", at=1767225660, notes="Courier 7")
    assert document(partner.get(delivery_id, "?includeHistory=true"))["history"] == [
        {"status": "created", "timestamp": "2026-01-01T00:00:00Z", "notes": ""},
        {"status": "accepted", "timestamp": "2026-01-01T00:01:00Z", "notes": "Courier 7"},
    ]
    for query in ("", "?includeHistory=false", "?other=true"):
        assert "history" not in document(partner.get(delivery_id, query))


@pytest.mark.parametrize("value", ["garbage", "", "1", "TRUE", "%FF", "true&includeHistory=no"])
def test_include_history_is_a_boolean(partner, value):
    """Anything but true and false is 400, whether the delivery is there or not."""
    for delivery_id in (partner.book(), "dlv_unknown"):
        answer = partner.get(delivery_id, f"?includeHistory={value}")
        assert error(answer) == (400, "validation_failed")
        assert "includeHistory" in document(answer)["message"]


def test_cancel(partner, kaspi):
    """200 before the pickup, with the reason in the history; 409 afterwards, when nothing changes."""
    for status in ("created", "accepted"):
        delivery_id = document(partner.create(status))["deliveryId"]
        kaspi.move(delivery_id, status)
        answer = partner.cancel(delivery_id, key=delivery_id, reason="Changed my mind")
        assert (answer.status, document(answer)["status"]) == (200, "cancelled")
        assert kaspi.deliveries[delivery_id].history[-1]["notes"] == "Changed my mind"
    assert "already cancelled" in document(partner.cancel(delivery_id, key="another"))["message"]
    for status in ("in_transit", "out_for_delivery", "delivered"):
        kaspi.move(delivery_id, status)
        answer = partner.cancel(delivery_id, key=status)
        assert error(answer) == (409, "conflict")
        assert "already in transit" in document(answer)["message"]
        assert kaspi.deliveries[delivery_id].status == status


def test_a_slow_cancel(partner, kaspi, clock):
    """It is accepted first; the courier's next step carries it out before the pace, unless the pickup was earlier."""
    kaspi.cancel_is_slow = True
    in_time, too_late = partner.book(), document(partner.create("another"))["deliveryId"]
    answers = [partner.cancel(delivery_id, delivery_id, reason="Late") for delivery_id in (in_time, too_late)]
    assert [(answer.status, document(answer)["status"]) for answer in answers] == [(200, "created")] * 2
    kaspi.move(too_late, "in_transit")
    Courier(kaspi, pace_s=10).step(clock())
    record = kaspi.deliveries[in_time]
    assert (record.status, record.history[-1]["notes"]) == ("cancelled", "Late")
    assert kaspi.deliveries[too_late].status == "in_transit"


def test_the_courier(partner, kaspi, clock):
    """Step by step a delivery passes every status, each not before its time; one that is cancelled stays."""
    delivery_id, cancelled = partner.book(), document(partner.create("another"))["deliveryId"]
    partner.cancel(cancelled)
    courier = Courier(kaspi, pace_s=10)
    courier.step(clock() + 9.9)
    assert kaspi.deliveries[delivery_id].status == "created"
    for _ in range(len(ROUTE) + 1):
        clock.tick(1000)
        courier.step(clock())
    assert [entry["status"] for entry in kaspi.deliveries[delivery_id].history] == list(ROUTE)
    assert kaspi.deliveries[cancelled].status == "cancelled"


def test_an_unknown_delivery_is_404_without_a_body(partner):
    """Neither GET nor cancel promises a body for an unknown id."""
    for answer in (partner.get("dlv_unknown"), partner.cancel("dlv_unknown")):
        assert (answer.status, answer.body) == (404, b"")


def test_api_keys(partner, kaspi):
    """Without the right key, or with one that is disabled, nothing is booked."""
    for key in (None, "", "another-key"):
        answer = partner.call("POST", "/v1/deliveries", REQUEST, x_api_key=key, idempotency_key="k")
        assert error(answer) == (401, "unauthorized")
    kaspi.disabled_keys.add(kaspi.api_key)
    assert error(partner.create()) == (403, "forbidden")
    assert kaspi.deliveries == {}


@pytest.mark.parametrize("method", ["DELETE", "get", "TRACE", "CONNECT", "PROPFIND"])
def test_a_wrong_method_names_the_right_one(partner, method):
    """A method that the path does not have is 405 with Allow; case matters."""
    answer = partner.call(method, "/v1/deliveries/dlv_1")
    assert (*error(answer), answer.headers["Allow"]) == (405, "method_not_allowed", "GET")


@pytest.mark.parametrize("base", ["", "/delivery", "http://127.0.0.1:8900", "HTTP://[::1]:8900/delivery"])
def test_base_paths(partner, base):
    """The API is at the root and under /delivery; a client may write the whole URL into the request line."""
    answer = partner.call("POST", f"{base}/v1/deliveries?a=1", REQUEST, idempotency_key="order-1")
    assert answer.status == 201


@pytest.mark.parametrize("path", ["/", "/v1/deliveries/", "/v1/quotes", "/v2/deliveries", "[", "//[", "*", "x:1"])
def test_an_unknown_path(partner, path):
    """There is nothing beside the four endpoints."""
    assert error(partner.call("POST", path)) == (404, "not_found")


def test_an_invalid_request_names_every_error(partner, kaspi):
    """Validation answers 400 with the field paths and books nothing."""
    answer = partner.create(externalOrderId=742, parcel={})
    assert error(answer) == (400, "validation_failed")
    expected = "externalOrderId: must be a string; parcel.description: is required"
    assert document(answer)["message"].startswith(expected)
    assert kaspi.deliveries == {}


@pytest.mark.parametrize("media_type", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_content_types(partner, kaspi, media_type):
    """A write under another Content-Type is read; a strict sandbox refuses it."""
    path = "/v1/deliveries"
    assert partner.call("POST", path, REQUEST, content_type=media_type).status == 201
    kaspi.strict = True
    answer = partner.call("POST", path, REQUEST, idempotency_key="k", content_type=media_type)
    assert error(answer) == (415, "unsupported_media_type")


def test_requests_are_logged(partner, kaspi, caplog):
    """The log has what came in and the status that went out; its lines carry no personal data."""
    caplog.set_level("INFO")
    partner.get("dlv_1", "?includeHistory=true")
    partner.create(parcel=None)
    partner.create()
    assert [(r.method, r.path, r.idempotency_key, r.status) for r in kaspi.requests] == [
        ("GET", "/v1/deliveries/dlv_1?includeHistory=true", None, 404),
        ("POST", "/v1/deliveries", "order-742", 400),
        ("POST", "/v1/deliveries", "order-742", 201),
    ]
    assert json.loads(kaspi.requests[1].body)["parcel"] is None
    assert "order-742" in caplog.text
    assert not any(secret in caplog.text for secret in ("Aigerim", "+7", "Satpaev", "sandbox-local"))


def test_a_webhook_test_is_queued(partner, kaspi, clock):
    """202, and a made-up event for the url of the request, or for the sandbox's own if it has one."""
    body = {"url": "http://other.test/hook", "type": "delivery.delivered"}
    answer = partner.call("POST", "/v1/webhooks/test", body)
    [event] = kaspi.webhooks.pending
    assert (answer.status, document(answer)) == (202, {"eventId": event.event_id, "status": "queued"})
    assert (event.url, event.type) == (body["url"], "delivery.delivered")
    assert (event.data["deliveryId"], event.data["externalOrderId"]) == ("dlv_test", "test")
    partner.call("POST", "/v1/webhooks/test", {})
    event = kaspi.webhooks.pending[-1]
    assert (event.url, event.type) == (WEBHOOK_URL, "delivery.created")
    without_url = Partner(FakeKaspi(clock=clock))
    answer = without_url.call("POST", "/v1/webhooks/test", {"type": "delivery.created"})
    assert error(answer) == (400, "validation_failed")


def test_no_webhook_is_queued_without_an_address(clock):
    """A sandbox that was given none books all the same."""
    silent = FakeKaspi(clock=clock)
    Partner(silent).book()
    assert silent.webhooks.pending == []


def test_a_replay_answers_the_original(partner, kaspi):
    """The same key and bytes get the first answer, marked, under either base path, whatever the status is by now."""
    first = partner.create()
    kaspi.move(document(first)["deliveryId"], "delivered")
    for second in (
        partner.create(),
        partner.call("POST", "/delivery/v1/deliveries", REQUEST, idempotency_key="order-742"),
    ):
        assert (second.status, second.body, second.headers[REPLAY]) == (201, first.body, "true")
    assert REPLAY not in first.headers
    assert len(kaspi.deliveries) == 1


def test_another_payload_is_a_conflict(partner, kaspi):
    """A known key with other bytes, another reason, or at another endpoint is 409, with a message about the key."""
    delivery_id = partner.book()
    partner.cancel(delivery_id, reason="Late")
    for answer in (
        partner.create(externalOrderId="order-743"),
        partner.cancel(delivery_id, reason="Lost"),
        partner.cancel(delivery_id, key="order-742"),
    ):
        assert answer.status == 409
        assert "Idempotency-Key" in document(answer)["message"]
    assert partner.cancel(delivery_id, reason="Late").status == 200
    assert len(kaspi.deliveries[delivery_id].history) == 2


def test_a_key_lives_24_hours(partner, kaspi, clock):
    """The hours count from its first use, not from a replay; then the same key books a second delivery."""
    partner.create()
    for tick_s, booked in ((23 * 3600, 1), (3599, 1), (1, 2)):
        clock.tick(tick_s)
        assert partner.create().status == 201
        assert len(kaspi.deliveries_for("order-742")) == booked
    assert kaspi.deliveries_for("order-1") == []


def test_keys_belong_to_an_api_key(partner, kaspi):
    """Another merchant's equal key is another key; a GET ignores the header."""
    delivery_id = partner.book()
    assert partner.call("GET", f"/v1/deliveries/{delivery_id}", idempotency_key="order-742").status == 200
    kaspi.api_key = "second-merchant"
    assert REPLAY not in partner.create().headers


@pytest.mark.parametrize("key", [None, ""])
def test_a_key_is_recommended(partner, kaspi, key):
    """Without one each create books and a cancel cancels; with `strict` both are refused before anything happens."""
    answers = [partner.create(key), partner.create(key), partner.cancel(partner.book(), key)]
    assert [answer.status for answer in answers] == [201, 201, 200]
    assert len(kaspi.deliveries) == 3
    kaspi.strict = True
    for answer in (partner.create(key), partner.cancel(next(iter(kaspi.deliveries)), key)):
        assert error(answer) == (400, "idempotency_key_required")
    assert len(kaspi.deliveries) == 3


def test_a_refused_request_does_not_use_up_the_key(partner):
    """After 400 and 401 the corrected request goes through under the same key."""
    partner.create(parcel={})
    partner.call("POST", "/v1/deliveries", {}, x_api_key="wrong", idempotency_key="order-742")
    answer = partner.create()
    assert (answer.status, REPLAY in answer.headers) == (201, False)


def test_threads_with_one_key_book_once(partner, kaspi):
    """Eight threads with the same key and bytes make one delivery."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: partner.create(), range(32)))
    assert len({answer.body for answer in answers}) == 1
    assert len(kaspi.deliveries) == 1
