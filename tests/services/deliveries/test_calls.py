"""Every POST of an idempotency key carries the bytes that were written for it."""

from hashlib import sha256

import pytest

from kaspi_delivery_django.exceptions import CannotRetry
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.models.calls import digest
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services import cancel_delivery, reissue_delivery, retry_delivery
from kaspi_delivery_django.services.deliveries.calls import idempotency_key
from kaspi_delivery_django.services.outbox import claims, sender
from tests.services.conftest import fresh

pytestmark = pytest.mark.django_db


def test_the_idempotency_keys():
    """The texts that Kaspi's documentation suggests."""
    keys = [idempotency_key("order-7", *rest) for rest in (("create",), ("cancel",), ("cancel", 2), ("refresh",))]
    assert keys == ["order-7", "order-7-cancel", "order-7-cancel-2", "order-7-refresh"]
    assert idempotency_key(None, "create") == ""


def test_digest():
    """A payload's digest is the SHA-256 of its UTF-8 bytes."""
    assert digest("Ә") == sha256(b"\xd3\x98").hexdigest()


@pytest.fixture
def unknown(kaspi, due, fake_clock):
    """Return a create of unknown outcome."""
    kaspi.faults.add(Fault(operation="create", status=500))
    sender.send(due.pk)
    fake_clock.advance(minutes=1)
    return fresh(due)


@pytest.mark.parametrize("payload", ["{}", ""])
@pytest.mark.parametrize("claims_many", [False, True])
@pytest.mark.failure_mode("database: jsonb reorders keys")
def test_a_changed_create_is_not_sent(kaspi, unknown, claims_many, payload):
    """It is flagged, and cannot be retried; the bytes stay as they were found."""
    ApiCall.objects.update(payload=payload)
    if claims_many:
        assert claims.claim_many([unknown.pk]) == ([], [])
    else:
        sender.send(unknown.pk)
    assert [request.method for request in kaspi.requests] == ["POST"]
    call = fresh(unknown)
    assert (call.state, call.reason, call.payload) == ("stuck", "payload_changed", payload)
    assert Delivery.objects.get().attention == "payload_changed"
    with pytest.raises(CannotRetry, match="stored request was changed"):
        retry_delivery(Delivery.objects.get())


def test_a_changed_cancel_is_not_sent(kaspi, booked):
    """A second cancel, with its own key, is."""
    cancel_delivery(booked, reason="first")
    ApiCall.objects.filter(kind="cancel").update(payload='{"reason":"second"}')
    sender.send(ApiCall.objects.get(kind="cancel").pk)
    assert fresh(booked).attention == "payload_changed"
    cancel_delivery(fresh(booked), reason="third")
    sender.send(ApiCall.objects.filter(kind="cancel").latest("pk").pk)
    keys = [request.idempotency_key for request in kaspi.requests if "cancel" in request.path]
    assert keys == [f"{booked.external_order_id}-cancel-2"]
    assert (fresh(booked).status, fresh(booked).attention) == ("cancelled", "")


@pytest.mark.parametrize("is_restored", [True, False])
def test_staff_restore_or_rebook_a_changed_create(unknown, drain, is_restored):
    """Restored bytes are sent again with the same key; a rebooked one has a new key, if Kaspi has no such delivery."""
    ApiCall.objects.update(payload="{}")
    sender.send(unknown.pk)
    if is_restored:
        ApiCall.objects.update(payload=unknown.payload)
        retry_delivery(Delivery.objects.get())
    else:
        reissue_delivery(Delivery.objects.get(), confirmed_absent=True)
    drain()
    assert Delivery.objects.get(generation=1 if is_restored else 2).delivery_id
