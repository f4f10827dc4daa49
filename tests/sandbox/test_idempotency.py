import json
from concurrent.futures import ThreadPoolExecutor

import pytest

REPLAY = "X-Idempotent-Replay"


def test_a_replay_answers_the_original(partner, kaspi):
    """The same key and bytes answer the same body, say so, and book nothing more."""
    first, second = partner.create(), partner.create()
    assert REPLAY not in first.headers
    assert (second.status, second.body, second.headers[REPLAY]) == (201, first.body, "true")
    assert len(kaspi.deliveries) == 1


def test_a_replay_tells_the_status_of_then(partner, kaspi):
    """The stored answer does not follow the delivery."""
    kaspi.move(partner.book(), "delivered")
    assert json.loads(partner.create().body)["status"] == "created"


def test_another_payload_is_a_conflict(partner, kaspi):
    """A known key with other bytes is 409, with a message about the key."""
    partner.create()
    answer = partner.create(externalOrderId="order-743")
    assert answer.status == 409
    assert "Idempotency-Key" in json.loads(answer.body)["message"]
    assert len(kaspi.deliveries) == 1


def test_a_key_is_not_bound_to_an_endpoint(partner):
    """A create's key cannot be used for its cancel."""
    delivery_id = partner.book()
    assert partner.cancel(delivery_id, key="order-742").status == 409


def test_the_two_base_paths_share_their_keys(partner, kaspi):
    """The same call under /delivery is a replay."""
    first = partner.create()
    body = kaspi.requests[0].body
    second = partner.call("POST", "/delivery/v1/deliveries", json.loads(body), idempotency_key="order-742")
    assert (second.body, second.headers[REPLAY]) == (first.body, "true")


@pytest.mark.parametrize(("age_s", "booked"), [(24 * 3600 - 1, 1), (24 * 3600, 2)])
def test_a_key_lives_24_hours(partner, kaspi, clock, age_s, booked):
    """A day after its first use the same key books a second delivery."""
    partner.create()
    clock.tick(age_s)
    assert partner.create().status == 201
    assert len(kaspi.deliveries_for("order-742")) == booked


def test_a_replay_does_not_prolong_the_key(partner, kaspi, clock):
    """The 24 hours count from the first use."""
    partner.create()
    clock.tick(23 * 3600)
    partner.create()
    clock.tick(3600)
    partner.create()
    assert len(kaspi.deliveries) == 2


def test_keys_belong_to_an_api_key(partner, kaspi):
    """Another merchant's equal key is another key."""
    partner.create()
    kaspi.api_key = "second-merchant"
    assert REPLAY not in partner.create().headers


@pytest.mark.parametrize("key", [None, ""])
def test_a_key_is_recommended(partner, kaspi, key):
    """Kaspi's header is `required: false`: without it each create books, and a cancel cancels."""
    answers = [partner.create(key), partner.create(key), partner.cancel(partner.book(), key)]
    assert [answer.status for answer in answers] == [201, 201, 200]
    assert len(kaspi.deliveries) == 3


@pytest.mark.parametrize("key", [None, ""])
def test_a_strict_sandbox_requires_a_key(partner, kaspi, key):
    """With `strict` a create or cancel without a key is refused before anything happens."""
    delivery_id = partner.book()
    kaspi.strict = True
    for answer in (partner.create(key), partner.cancel(delivery_id, key)):
        assert answer.status == 400
        assert json.loads(answer.body)["code"] == "idempotency_key_required"
    assert len(kaspi.deliveries[delivery_id].history) == 1


def test_a_refused_request_does_not_use_up_the_key(partner):
    """After 400 and 401 the corrected request goes through under the same key."""
    partner.create(parcel={})
    partner.call("POST", "/v1/deliveries", {}, x_api_key="wrong", idempotency_key="order-742")
    answer = partner.create()
    assert (answer.status, REPLAY in answer.headers) == (201, False)


def test_a_cancel_is_replayed(partner, kaspi):
    """The same cancel twice answers 200 twice and cancels once."""
    delivery_id = partner.book()
    answers = [partner.cancel(delivery_id, reason="Late") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert len(kaspi.deliveries[delivery_id].history) == 2


def test_another_cancel_reason_is_another_payload(partner):
    """The reason is part of the payload."""
    delivery_id = partner.book()
    partner.cancel(delivery_id, reason="Late")
    assert partner.cancel(delivery_id, reason="Lost").status == 409


def test_a_get_ignores_the_header(partner):
    """An Idempotency-Key on a GET neither replays nor conflicts."""
    delivery_id = partner.book()
    path = f"/v1/deliveries/{delivery_id}"
    assert partner.call("GET", path, idempotency_key="order-742").status == 200


def test_a_webhook_test_may_carry_a_key(partner, kaspi):
    """With a key the test event is queued once."""
    body = {"url": "http://shop.test/", "type": "delivery.created"}
    answers = [partner.call("POST", "/v1/webhooks/test", body, idempotency_key="t") for _ in range(2)]
    assert answers[0].body == answers[1].body
    assert len(kaspi.webhooks.pending) == 1


def test_threads_with_one_key_book_once(partner, kaspi):
    """Eight threads with the same key and bytes make one delivery."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: partner.create(), range(32)))
    assert len({answer.body for answer in answers}) == 1
    assert len(kaspi.deliveries) == 1
