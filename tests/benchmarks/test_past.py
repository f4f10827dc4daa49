"""The past that benchmarks are measured on: rows that our own code could have written."""

import pytest
from django.db import connection

from kaspi_delivery_django import statuses
from kaspi_delivery_django.models import ApiCall, Delivery, StatusChange, WebhookEvent, search
from kaspi_delivery_django.models.search import phone_tail

pytestmark = [
    pytest.mark.skipif(connection.vendor == "mysql", reason="the SQL is that of PostgreSQL and SQLite"),
    pytest.mark.django_db(transaction=True),
]
ROWS = 400


@pytest.fixture(autouse=True)
def past():
    """Write a small one, with what is rare."""
    from benchmarks.past import add_rare, fill  # noqa: PLC0415  # its SQL is that of the two

    fill(ROWS)
    add_rare(ROWS)


def test_keys_and_times_are_the_models():
    """Search keys are what our own code would have written; keys and times ascend together."""
    deliveries = list(Delivery.objects.order_by("pk"))
    for row in deliveries:
        assert row.phone_tail == phone_tail(row.dropoff_phone)
        assert row.external_key == search.number_key(row.external_order_id)
        assert row.label_key == search.number_key(row.order_label)
        assert row.name_key == search.words_key(row.dropoff_name)
        assert row.surname_key == search.second_words_key(row.dropoff_name)
        assert row.city_key == search.city_key(row.dropoff_address)
    times = [row.created_at for row in deliveries]
    assert times == sorted(times)
    assert not StatusChange.objects.filter(at__gt=times[-1]).exists()


def test_the_history_ends_with_the_deliverys_status():
    """The last applied step has it."""
    for row in Delivery.objects.exclude(status=""):
        assert row.history.filter(applied=True).order_by("pk").last().to_status == row.status


def test_each_rare_kind_of_row_exists():
    """Flagged and open deliveries, dead letters, and calls that are due."""
    assert Delivery.objects.flagged().count() == 20
    assert set(WebhookEvent.DEAD_LETTERS) <= set(WebhookEvent.objects.values_list("state", flat=True))
    assert ApiCall.objects.filter(state=ApiCall.State.DUE).exists()
    assert Delivery.objects.filter(status__in=statuses.OPEN).count() > 20


def test_new_rows_may_follow():
    """The sequences go on after the last key."""
    last = Delivery.objects.latest("pk")
    last.pk, last.external_order_id, last.delivery_id, last.object_id = None, "new", "dlv_new", "new"
    last.save(force_insert=True)
    assert last.pk > ROWS
