"""The year that benchmarks are measured on: rows that our own code could have written."""

import pytest
from django.db import connection

from kaspi_delivery_django import lifecycle
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.models.deliveries import phone_tail

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL writes it"),
    pytest.mark.django_db(transaction=True),
]
ROWS = 400


@pytest.fixture(autouse=True)
def year():
    """Write a small one."""
    from benchmarks.year.fill import fill  # noqa: PLC0415  # its SQL is PostgreSQL's

    fill(ROWS, say=lambda _line: None)


def test_phones_are_found_by_their_end():
    """The column beside the phone says what the model would."""
    assert all(row.phone_tail == phone_tail(row.dropoff_phone) for row in Delivery.objects.all())


def test_the_newest_come_last():
    """Keys and times go the same way, and nothing is of tomorrow."""
    times = list(Delivery.objects.order_by("pk").values_list("created_at", flat=True))
    assert times == sorted(times)
    assert not StatusChange.objects.filter(at__gt=times[-1]).exists()


def test_the_history_ends_where_the_delivery_stands():
    """The last step that was applied is Kaspi's word."""
    for row in Delivery.objects.exclude(status=""):
        assert row.history.filter(applied=True).last().to_status == row.status


def test_every_kind_of_trouble_is_there():
    """Some need a person, some events are dead letters, and some calls are due."""
    assert Delivery.objects.flagged().count() == 20
    assert set(WebhookEvent.DEAD_LETTERS) <= set(WebhookEvent.objects.values_list("state", flat=True))
    assert ApiCall.objects.filter(state=ApiCall.State.DUE).exists()
    assert Delivery.objects.filter(status__in=lifecycle.OPEN).count() > 20


def test_new_rows_may_follow():
    """The sequences go on after the last key."""
    last = Delivery.objects.latest("pk")
    last.pk, last.external_order_id, last.delivery_id, last.object_id = None, "new", "dlv_new", "new"
    last.save(force_insert=True)
    assert last.pk == ROWS + 1
