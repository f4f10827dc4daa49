"""Many webhooks at once: each event once, and one final status in any order."""

import json

import pytest
from django.conf import settings
from django.test import Client

from kaspi_delivery_django.models import Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.sandbox.webhooks import sign
from kaspi_delivery_django.services.outbox import claims, sender
from tests.conftest import NOON, event, record_late

pytestmark = pytest.mark.django_db(transaction=True)

LIFE = ("created", "accepted", "in_transit", "out_for_delivery", "delivered")


def post(document):
    """Return a function that posts the document, signed, and returns the answer's status."""
    body = json.dumps(document).encode()
    stamp = str(int(NOON.timestamp()))
    signature = sign(settings.KASPI_DELIVERY["WEBHOOK_SECRETS"][0], stamp, body)
    headers = {"X-Kaspi-Timestamp": stamp, "X-Kaspi-Signature": signature}

    def run():
        answer = Client().post("/kaspi/webhook/", body, content_type="application/json", headers=headers)
        return answer.status_code

    return run


def insist(run):
    """Repeat a webhook that is answered 503, as Kaspi does."""
    return lambda: next(status for status in iter(run, None) if status != 503)


@pytest.mark.failure_mode("webhook: the same event again")
def test_six_copies_of_one_event_take_effect_once(booked, at_once):
    """Every copy is answered 200; one row, one step."""
    answers = at_once(*[insist(post(event(booked, "accepted")))] * 6)
    assert answers == [200] * 6
    assert WebhookEvent.objects.get().received_count == 6
    assert StatusChange.objects.filter(to_status="accepted").count() == 1


@pytest.mark.parametrize("start", range(5))
@pytest.mark.failure_mode("status: any order of events")
def test_a_whole_life_at_once_ends_delivered(booked, at_once, start):
    """In any order of the transactions no step goes backwards, and each is notified once."""
    documents = [event(booked, status, event_id=f"wh_{status}") for status in (*LIFE[start:], *LIFE[:start])]
    assert at_once(*[insist(post(document)) for document in documents]) == [200] * 5
    assert Delivery.objects.get().status == "delivered"
    steps = list(booked.history.values_list("to_status", flat=True))
    assert sorted(steps) == sorted(LIFE)
    applied = booked.history.filter(applied=True).order_by("pk").values_list("to_status", flat=True)
    assert list(applied) == sorted(applied, key=LIFE.index)


@pytest.mark.failure_mode("request: killed before the commit")
def test_a_webhook_beside_our_own_answer_loses_nothing(due, drain, at_once):
    """Both bring the id: one link, and the update is applied now or by the next round."""
    delivery, claim = due.delivery, claims.claim(due.pk)
    answer = sender.transmit(claim, None)
    delivery.delivery_id = answer.delivery_id
    ended = at_once(lambda: record_late(claim, answer), insist(post(event(delivery, "accepted"))))
    assert ended == [None, 200]
    drain()
    delivery.refresh_from_db()
    assert (delivery.delivery_id, delivery.status) == (answer.delivery_id, "accepted")
    assert not WebhookEvent.objects.filter(state="parked").exists()
    assert delivery.calls.get(kind="create").state == "done"
