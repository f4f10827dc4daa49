import json
from unittest.mock import Mock

import pytest
import requests

from kaspi_delivery_django.sandbox import defaults
from kaspi_delivery_django.sandbox.api import FakeKaspi
from kaspi_delivery_django.sandbox.webhooks import ABANDON_AFTER_S, sign


def test_an_event_as_kaspi_shapes_it(partner, kaspi, clock, receiver):
    """The body has id, type, attempt and data; the headers carry whole seconds and the signature over both."""
    clock.tick(0.75)
    delivery_id = partner.book()
    [sent] = kaspi.webhooks.deliver_due(clock(), receiver)
    [body] = receiver.bodies
    assert body.pop("eventId").startswith("wh_")
    assert body == {
        "type": "delivery.created",
        "attempt": 1,
        "data": {
            "deliveryId": delivery_id,
            "externalOrderId": "order-742",
            "status": "created",
            "timestamp": "2026-01-01T00:00:00Z",
        },
    }
    assert sent.headers["X-Kaspi-Timestamp"] == "1767225600"
    assert sent.headers["X-Kaspi-Signature"] == sign(defaults.WEBHOOK_SECRET, "1767225600", sent.body)


@pytest.mark.parametrize(("status", "due"), [(200, 0), (299, 0), (199, 1), (302, 1), (400, 1), (500, 1)])
def test_an_attempt_without_a_2xx_is_repeated_after_a_minute(partner, kaspi, clock, receiver, status, due):
    """The second attempt is due 60 seconds later, not before; any 2xx ends the retries."""
    receiver.status = status
    partner.book()
    kaspi.webhooks.deliver_due(clock(), receiver)
    assert kaspi.webhooks.due(clock() + 59) == []
    assert len(kaspi.webhooks.due(clock() + 60)) == len(kaspi.webhooks.pending) == due


def test_retries_end_after_24_hours(partner, kaspi, clock, receiver):
    """Doubling waits make 11 attempts of one eventId within a day, each numbered and signed; then it is lost."""
    receiver.status = 500
    partner.book()
    stamps = []
    while kaspi.webhooks.pending:
        clock.now = kaspi.webhooks.pending[0].due_at
        stamps += [int(sent.headers["X-Kaspi-Timestamp"]) for sent in kaspi.webhooks.deliver_due(clock(), receiver)]
    [event] = kaspi.webhooks.lost
    assert [body["attempt"] for body in receiver.bodies] == list(range(1, 12))
    assert {body["eventId"] for body in receiver.bodies} == {event.event_id}
    assert [stamp - stamps[0] for stamp in stamps[:4]] == [0, 60, 180, 420]
    assert clock() - event.queued_at <= ABANDON_AFTER_S


@pytest.mark.parametrize("error", [ConnectionRefusedError(), requests.ReadTimeout()])
def test_no_response(partner, kaspi, clock, error):
    """A network error is a failed attempt, logged with status 0."""
    partner.book()
    [sent] = kaspi.webhooks.deliver_due(clock(), Mock(side_effect=error))
    assert (sent.status, len(kaspi.webhooks.pending)) == (0, 1)


def test_a_receiver_that_breaks_loses_nothing(partner, kaspi, clock):
    """An error of the receiver's own is raised to the test, and the event stays pending."""
    partner.book()
    with pytest.raises(KeyError):
        kaspi.webhooks.deliver_due(clock(), Mock(side_effect=KeyError))
    assert len(kaspi.webhooks.pending) == 1


def test_an_impossible_host_is_an_error_like_others(kaspi, clock):
    """A url that can never be reached fails its attempt and nothing else."""
    kaspi.webhooks.queue(f"http://{'a' * 70}.test/", "delivery.created", {"deliveryId": "dlv_1"})
    [sent] = kaspi.webhooks.deliver_due(clock())
    assert sent.status == 0


def test_the_first_retry_may_come_sooner(clock, receiver):
    """first_retry_s sets the first wait, and the doubling starts from it; a wait of nothing would never end."""
    kaspi = FakeKaspi(clock=clock, first_retry_s=1)
    receiver.status = 500
    kaspi.webhooks.queue("http://shop.test/", "delivery.created", {"deliveryId": "dlv_1"})
    for wait_s in (1, 2):
        kaspi.webhooks.deliver_due(clock(), receiver)
        assert kaspi.webhooks.pending[0].due_at == clock() + wait_s
        clock.tick(wait_s)
    with pytest.raises(ValueError, match="first_retry_s"):
        FakeKaspi(first_retry_s=0)


def test_duplicate(partner, kaspi, clock, receiver):
    """Each event is sent twice, equal to the byte."""
    kaspi.webhooks.duplicate = True
    partner.book()
    first, second = kaspi.webhooks.deliver_due(clock(), receiver)
    assert first.body == second.body


def test_reorder(partner, kaspi, clock, receiver):
    """The next three events are held and sent in reverse, later ones as they come."""
    kaspi.webhooks.reorder = 3
    delivery_id = partner.book()
    kaspi.move(delivery_id, "accepted")
    assert kaspi.webhooks.deliver_due(clock(), receiver) == []
    kaspi.move(delivery_id, "in_transit")
    kaspi.move(delivery_id, "delivered")
    kaspi.webhooks.deliver_due(clock(), receiver)
    assert receiver.statuses == ["in_transit", "accepted", "created", "delivered"]


def test_lose_and_delay(partner, kaspi, clock, receiver):
    """The next event is lost for good; the one after comes so many seconds of the sandbox's clock later."""
    kaspi.webhooks.lose, kaspi.webhooks.delay_s = 1, 30
    kaspi.move(partner.book(), "accepted")
    assert kaspi.webhooks.deliver_due(clock() + 29, receiver) == []
    kaspi.webhooks.deliver_due(clock() + 30, receiver)
    assert receiver.statuses == ["accepted"]
    assert [event.type for event in kaspi.webhooks.lost] == ["delivery.created"]


def test_a_receiver_may_call_back(partner, kaspi, clock):
    """No lock is held while an event is posted: the receiver can ask for the delivery."""

    def post(url, headers, body):
        return partner.get(json.loads(body)["data"]["deliveryId"]).status

    partner.book()
    assert [sent.status for sent in kaspi.webhooks.deliver_due(clock(), post)] == [200]
