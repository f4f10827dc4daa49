"""Every POST of one key carries the bytes that were written for it: they are compared before each."""

import pytest

from kaspi_delivery_django.exceptions import CannotRetry
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery, reissue_delivery, retry_delivery
from kaspi_delivery_django.services.outbox import claims, sender
from tests.services.conftest import fresh

pytestmark = pytest.mark.django_db(transaction=True)

CHANGES = [{"payload": "{}"}, {"payload": ""}]


def alone(call):
    """Send it by itself."""
    sender.send(call.pk)


def together(call):
    """Claim it as the threads do."""
    assert claims.claim_many([call.pk], using="default") == ([], [])


@pytest.fixture
def unknown(kaspi, due, turnable):
    """Return a create of unknown outcome."""
    kaspi.faults.add(Fault(operation="create", status=500))
    sender.send(due.pk)
    turnable.turn(minutes=1)
    return fresh(due)


@pytest.mark.parametrize("change", CHANGES, ids=["other bytes", "no bytes"])
@pytest.mark.parametrize("send", [alone, together])
@pytest.mark.failure_mode("database: jsonb reorders keys")
def test_changed_bytes_of_a_create_are_not_sent(kaspi, unknown, send, change):
    """Staff is asked; the bytes stay as they were found."""
    ApiCall.objects.update(**change)
    send(unknown)
    assert len([asked for asked in kaspi.requests if asked.method == "POST"]) == 1
    call = fresh(unknown)
    assert (call.state, call.reason, call.payload) == ("stuck", "payload_changed", change["payload"])
    assert Delivery.objects.get().attention == "payload_changed"


def test_changed_bytes_of_a_cancel_are_not_sent(kaspi, booked):
    """A second cancel, with a key of its own, is."""
    cancel_delivery(booked, reason="first")
    ApiCall.objects.filter(kind="cancel").update(payload='{"reason":"second"}')
    sender.send(ApiCall.objects.get(kind="cancel").pk)
    assert fresh(booked).attention == "payload_changed"
    cancel_delivery(fresh(booked), reason="third")
    sender.send(ApiCall.objects.filter(kind="cancel").latest("pk").pk)
    assert [asked.idempotency_key[-9:] for asked in kaspi.requests if "cancel" in asked.path] == ["-cancel-2"]
    assert (fresh(booked).status, fresh(booked).attention) == ("cancelled", "")


def test_a_retry_of_changed_bytes_is_refused(unknown):
    """It says what to do instead."""
    ApiCall.objects.update(payload="{}")
    sender.send(unknown.pk)
    with pytest.raises(CannotRetry, match="stored request was changed"):
        retry_delivery(Delivery.objects.get())


def test_restored_bytes_go_again(kaspi, unknown):
    """The same key with the same bytes."""
    ApiCall.objects.update(payload="{}")
    sender.send(unknown.pk)
    ApiCall.objects.update(payload=unknown.payload)
    retry_delivery(Delivery.objects.get())
    assert sender.send(unknown.pk)
    assert fresh(unknown).state == "done"


def test_what_was_changed_can_be_booked_again(kaspi, unknown, drain):
    """With a key of its own, once a person has looked at Kaspi."""
    ApiCall.objects.update(payload="{}")
    sender.send(unknown.pk)
    reissue_delivery(Delivery.objects.get(), confirmed_absent=True)
    drain()
    assert Delivery.objects.get(generation=2).delivery_id
