"""Kaspi's support asks for the request id: it is on the call's page, and beside each attempt that failed."""

import pytest

from kaspi_delivery_django.models import ApiCall, FailedAttempt
from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.services.outbox import sender

pytestmark = pytest.mark.django_db(transaction=True)


def test_staff_see_the_request_ids(kaspi, due, turnable, admin_client):
    """Of the attempt that failed, and of the one that booked."""
    kaspi.faults.add(Fault(operation="create", status=500))
    sender.send(due.pk)
    turnable.turn(minutes=1)
    sender.send(due.pk)
    page = admin_client.get(f"/admin/kaspi_delivery/apicall/{due.pk}/change/").content.decode()
    failed, last = FailedAttempt.objects.get().request_id, ApiCall.objects.get().request_id
    assert failed != last
    assert failed in page
    assert last in page
    assert failed in admin_client.get("/admin/kaspi_delivery/failedattempt/").content.decode()
