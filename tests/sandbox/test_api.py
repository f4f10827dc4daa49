import json
from dataclasses import replace

import pytest

from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.responses import Response
from tests.sandbox.conftest import REQUEST, Partner


def error(answer: Response) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["code"]


def test_create_answers_delivery_created(partner, kaspi):
    """A create answers 201 with DeliveryCreated, which has no externalOrderId."""
    answer = partner.create()
    (delivery_id,) = kaspi.deliveries
    assert answer.status == 201
    assert json.loads(answer.body) == {
        "deliveryId": delivery_id,
        "status": "created",
        "trackingUrl": f"https://track.kaspi.kz/{delivery_id}",
        "eta": {"pickupBy": "2026-01-01T01:00:00Z", "deliveryBy": "2026-01-01T04:00:00Z"},
    }


def test_delivery_ids_look_like_kaspis(partner):
    """An id is dlv_ and fourteen lower-case letters or digits."""
    prefix, _, rest = partner.book().partition("_")
    assert (prefix, len(rest), rest.isalnum(), rest.lower()) == ("dlv", 14, True, rest)


def test_the_guides_order_has_the_guides_id(partner):
    """Kaspi's guide goes on with the id of its own answer, so its order gets that id, once."""
    ids = [json.loads(partner.create(None, externalOrderId="order-2024-0191").body)["deliveryId"] for _ in range(2)]
    assert ids[0] == "dlv_01hfz18tnb7tqw"
    assert ids[1] not in {ids[0], partner.book()}


def test_a_seed_repeats_the_ids(clock):
    """Two fakes of one seed book the same ids."""
    ids = [Partner(FakeKaspi(clock=clock, seed=1)).book() for _ in range(2)]
    assert ids[0] == ids[1]


def test_get_answers_request_and_created(partner):
    """A GET gives back everything of the request and of DeliveryCreated."""
    created = json.loads(partner.create().body)
    answer = partner.get(created["deliveryId"])
    stamped = {**REQUEST, **created, "createdAt": "2026-01-01T00:00:00Z"}
    assert (answer.status, json.loads(answer.body)) == (200, stamped)


def test_an_answer_repeats_documented_fields_only(partner):
    """A field that Kaspi does not know cannot overwrite one of the answer's own."""
    created = json.loads(partner.create(history="mine", deliveryId="dlv_mine", gift=True).body)
    answer = json.loads(partner.get(created["deliveryId"]).body)
    assert answer == {**REQUEST, **created, "createdAt": "2026-01-01T00:00:00Z"}


def test_get_includes_history_when_asked(partner, kaspi):
    """With includeHistory=true the statuses passed are listed with time and notes."""
    delivery_id = partner.book()
    kaspi.move(delivery_id, "accepted", at=1767225660, notes="Courier 7")
    answer = partner.get(delivery_id, "?includeHistory=true")
    assert json.loads(answer.body)["history"] == [
        {"status": "created", "timestamp": "2026-01-01T00:00:00Z", "notes": ""},
        {"status": "accepted", "timestamp": "2026-01-01T00:01:00Z", "notes": "Courier 7"},
    ]


@pytest.mark.parametrize("value", ["garbage", "", "1", "TRUE", "%FF", "true&includeHistory=no"])
def test_include_history_is_a_boolean(partner, value):
    """Anything but true and false is 400, whether the delivery is there or not."""
    for delivery_id in (partner.book(), "dlv_unknown"):
        answer = partner.get(delivery_id, f"?includeHistory={value}")
        assert error(answer) == (400, "validation_failed")
        assert "includeHistory" in json.loads(answer.body)["message"]


@pytest.mark.parametrize("query", ["", "?includeHistory=false", "?other=true"])
def test_get_leaves_history_out(partner, query):
    """History comes only when it is asked for."""
    assert "history" not in json.loads(partner.get(partner.book(), query).body)


@pytest.mark.parametrize("prefix", ["", "/delivery"])
def test_both_base_paths_are_served(partner, prefix):
    """The API answers at the root and under /delivery, as Kaspi's hosts do."""
    answer = partner.call("POST", f"{prefix}/v1/deliveries", REQUEST, idempotency_key="order-1")
    assert answer.status == 201


@pytest.mark.parametrize("status", ["created", "accepted"])
def test_cancel_before_pickup(partner, kaspi, status):
    """A cancel before pickup answers the cancelled delivery, and history keeps the reason."""
    delivery_id = partner.book()
    kaspi.move(delivery_id, status)
    answer = partner.cancel(delivery_id, reason="Changed my mind")
    assert (answer.status, json.loads(answer.body)["status"]) == (200, "cancelled")
    assert kaspi.deliveries[delivery_id].history[-1]["notes"] == "Changed my mind"


@pytest.mark.parametrize("status", ["in_transit", "out_for_delivery", "delivered"])
def test_cancel_after_pickup(partner, kaspi, status):
    """After pickup a cancel is a conflict that says so, and changes nothing."""
    delivery_id = partner.book()
    kaspi.move(delivery_id, status)
    answer = partner.cancel(delivery_id)
    assert error(answer) == (409, "conflict")
    assert "already in transit" in json.loads(answer.body)["message"]
    assert kaspi.deliveries[delivery_id].status == status


def test_cancel_twice_with_another_key(partner):
    """A second cancel under a new key is a conflict."""
    delivery_id = partner.book()
    partner.cancel(delivery_id)
    answer = partner.cancel(delivery_id, key="order-742-cancel-2")
    assert error(answer) == (409, "conflict")
    assert "already cancelled" in json.loads(answer.body)["message"]


def test_a_slow_cancel_is_accepted_first(partner, kaspi):
    """With cancel_is_slow the answer is 200 with the status of before."""
    kaspi.cancel_is_slow = True
    answer = partner.cancel(partner.book(), reason="Late")
    assert (answer.status, json.loads(answer.body)["status"]) == (200, "created")


def test_an_unknown_delivery_is_404_without_a_body(partner):
    """Neither GET nor cancel promises a body for an unknown id."""
    for answer in (partner.get("dlv_unknown"), partner.cancel("dlv_unknown")):
        assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize("key", [None, "", "another-key"])
def test_a_missing_or_wrong_api_key(partner, kaspi, key):
    """Without the right key nothing is booked."""
    answer = partner.call("POST", "/v1/deliveries", REQUEST, x_api_key=key, idempotency_key="k")
    assert error(answer) == (401, "unauthorized")
    assert kaspi.deliveries == {}


def test_a_disabled_api_key(partner, kaspi):
    """A disabled key answers 403 until it is enabled again."""
    kaspi.disabled_keys.add(kaspi.api_key)
    assert error(partner.create()) == (403, "forbidden")
    kaspi.disabled_keys.clear()
    assert partner.create().status == 201


def test_a_wrong_method_names_the_right_one(partner):
    """405 carries Allow."""
    answer = partner.call("DELETE", "/v1/deliveries/dlv_1")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("method", ["get", "TRACE", "CONNECT", "PROPFIND"])
def test_methods_are_told_apart_by_case(partner, method):
    """A method that the path does not have is 405, with a JSON body."""
    assert error(partner.call(method, "/v1/deliveries/dlv_1")) == (405, "method_not_allowed")


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8900", "HTTP://[::1]:8900/delivery"])
def test_a_whole_url_is_a_request_target(partner, origin):
    """A client that writes the whole URL into the request line is answered like any other."""
    answer = partner.call("POST", f"{origin}/v1/deliveries?a=1", REQUEST, idempotency_key="k")
    assert answer.status == 201


@pytest.mark.parametrize("path", ["/", "/v1/deliveries/", "/v1/quotes", "/v2/deliveries", "[", "//[", "*", "x:1"])
def test_an_unknown_path(partner, path):
    """There is nothing beside the four endpoints."""
    assert error(partner.call("POST", path)) == (404, "not_found")


def test_an_invalid_request_names_every_fault(partner, kaspi):
    """Validation answers 400 with the field paths and books nothing."""
    answer = partner.create(externalOrderId=742, parcel={})
    assert error(answer) == (400, "validation_failed")
    assert json.loads(answer.body)["message"].startswith(
        "externalOrderId: must be a string; parcel.description: is required"
    )
    assert kaspi.deliveries == {}


@pytest.mark.parametrize("media_type", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_a_body_is_json_whatever_it_is_called(partner, kaspi, media_type):
    """A write under another Content-Type is read; a strict sandbox refuses it."""
    path = "/v1/deliveries"
    assert partner.call("POST", path, REQUEST, content_type=media_type).status == 201
    kaspi.strict = True
    answer = partner.call("POST", path, REQUEST, idempotency_key="k", content_type=media_type)
    assert error(answer) == (415, "unsupported_media_type")


def test_doubles_are_booked_and_visible(partner, kaspi):
    """Nothing makes externalOrderId unique: two keys book two couriers."""
    partner.create("order-742")
    partner.create("order-742-again")
    assert len(kaspi.deliveries_for("order-742")) == 2
    assert kaspi.deliveries_for("order-1") == []


def test_requests_are_logged(partner, kaspi):
    """The log has what came in and the status that went out."""
    partner.get("dlv_1", "?includeHistory=true")
    partner.create(parcel=None)
    seen = [(r.method, r.path, r.idempotency_key, r.status) for r in kaspi.requests]
    assert seen == [
        ("GET", "/v1/deliveries/dlv_1?includeHistory=true", None, 404),
        ("POST", "/v1/deliveries", "order-742", 400),
    ]
    assert json.loads(kaspi.requests[1].body)["parcel"] is None


def test_log_lines_carry_no_personal_data(partner, caplog):
    """A line names ids and statuses, not the people of the request."""
    caplog.set_level("INFO")
    partner.book()
    assert "order-742" in caplog.text
    assert not any(secret in caplog.text for secret in ("Aigerim", "+7", "Satpaev", "sandbox-local"))


def test_a_webhook_test_is_queued(partner, kaspi):
    """The test endpoint answers 202 and queues a made-up event to the url it was given."""
    body = {"url": "http://other.test/hook", "type": "delivery.delivered"}
    answer = partner.call("POST", "/v1/webhooks/test", body)
    (event,) = kaspi.webhooks.pending
    assert answer.status == 202
    assert json.loads(answer.body) == {"eventId": event.event_id, "status": "queued"}
    assert (event.url, event.type) == (body["url"], "delivery.delivered")
    assert (event.data["deliveryId"], event.data["externalOrderId"]) == ("dlv_test", "test")


def test_a_webhook_test_needs_some_url(clock):
    """A sandbox that announces nothing cannot guess where a test event is to go."""
    partner = Partner(FakeKaspi(clock=clock))
    assert error(partner.call("POST", "/v1/webhooks/test", {"type": "delivery.created"})) == (400, "validation_failed")


def test_every_status_change_is_announced(partner, kaspi):
    """Booking and each move queue one event of the status's type."""
    kaspi.move(partner.book(), "accepted")
    types = [event.type for event in kaspi.webhooks.pending]
    assert types == ["delivery.created", "delivery.accepted"]


def test_nobody_to_announce_to(clock):
    """Without a webhook_url nothing is queued."""
    kaspi = FakeKaspi(clock=clock)
    Partner(kaspi).book()
    assert kaspi.webhooks.pending == []


def test_an_answer_is_sent_in_half_when_cut():
    """Truncation halves what is sent and leaves the body whole."""
    answer = replace(Response(200, body=b"abcdef"), truncate=True)
    assert (answer.body, answer.sent_body) == (b"abcdef", b"abc")
