"""The hand-written statements equal the ORM's on each engine."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.forms import model_to_dict
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django.models import Delivery, StatusChange, WebhookEvent
from kaspi_delivery_django.services import fast_sql
from tests.conftest import NOON
from tests.shop.models import Order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_clock")]


@pytest.fixture
def delivery():
    """Return a delivery with a value in columns of each kind."""
    Order.objects.create()
    texts = {"delivery_id": "dlv_1", "dropoff_name": "Әлия 100%", "order_sha256": "a" * 64}
    Delivery.objects.update(**texts, status_at=NOON, parcel_weight_grams=500)
    return Delivery.objects.get()


@pytest.fixture(params=["as it can", "afterwards"] if connection.vendor == "sqlite" else ["as it can"])
def gives_keys(request, monkeypatch):
    """Let the engine return a new row's key in its own way, or in MySQL's."""
    if request.param == "afterwards":
        monkeypatch.setattr(connection.features, "can_return_columns_from_insert", False)


def change_of(delivery):
    """Return an unsaved change with a value in each column."""
    moments = {"at": NOON, "created_at": NOON, "notify_after": NOON, "notified_at": None}
    texts = {"to_status": "accepted", "source": "webhook", "note": "50 % off; 'quoted'"}
    return StatusChange(delivery=delivery, applied=False, **moments, **texts)


@pytest.mark.usefixtures("gives_keys")
def test_an_inserted_row_is_what_the_orm_reads(delivery):
    """It has its key, and is no longer being added."""
    change = change_of(delivery)
    fast_sql.insert(change)
    stored = StatusChange.objects.get(pk=change.pk)
    assert model_to_dict(stored) == model_to_dict(change)
    assert (change._state.adding, change._state.db) == (False, "default")


def test_a_refused_row_raises_as_with_the_orm():
    """The inbox relies on it; the transaction can only be rolled back."""
    event = {"account": "default", "environment": "sandbox", "event_id": "wh_1", "received_at": NOON, "state": "parked"}
    fast_sql.insert(WebhookEvent(**event))
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            fast_sql.insert(WebhookEvent(**event))
        assert transaction.get_rollback()


def test_an_update_writes_the_given_fields(delivery):
    """With their own values, such as the time of the write; other fields stay. It returns whether the row exists."""
    written_before = delivery.updated_at
    delivery.status, delivery.dropoff_name = "accepted", "another person"
    assert fast_sql.update(delivery, ["status", "updated_at"])
    stored = Delivery.objects.get()
    assert (stored.status, stored.dropoff_name) == ("accepted", "Әлия 100%")
    assert stored.updated_at == delivery.updated_at > written_before
    Delivery.objects.all().delete()
    assert not fast_sql.update(delivery, ["status"])


def test_a_found_row_equals_the_orms(delivery):
    """Each column of each type, in the database's own alias; and the database's time."""
    found, read_at = fast_sql.find(Delivery, account="default", delivery_id="dlv_1")
    assert abs(read_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert {**vars(found), "_state": 0} == {**vars(delivery), "_state": 0}
    assert (found._state.adding, found._state.db) == (False, "default")
    assert fast_sql.find(Delivery, account="almaty", delivery_id="dlv_1") is None


def test_a_touched_row_is_unchanged(delivery):
    """It returns whether the row exists."""
    assert fast_sql.touch(Delivery, "order_sha256", delivery_id="dlv_1")
    assert not fast_sql.touch(Delivery, "order_sha256", delivery_id="dlv_2")
    assert {**vars(Delivery.objects.get()), "_state": 0} == {**vars(delivery), "_state": 0}


def test_many_rows_are_updated_with_one_statement(delivery):
    """Each with its own values, and no other column; none without rows."""
    other = Delivery.objects.create(
        account="default", environment="sandbox", content_type=delivery.content_type, object_id="other", generation=1
    )
    delivery.dropoff_name, other.dropoff_name = "Дана 50%", ""
    delivery.parcel_weight_grams, other.parcel_weight_grams = None, 700
    delivery.delivery_id = "dlv_not_written"
    with CaptureQueriesContext(connection) as asked:
        fast_sql.update_all([delivery, other], ["dropoff_name", "parcel_weight_grams"])
        fast_sql.update_all([], ["dropoff_name"])
    assert len(asked) == 1
    stored = Delivery.objects.order_by("pk").values_list("dropoff_name", "parcel_weight_grams", "delivery_id")
    assert list(stored) == [("Дана 50%", None, "dlv_1"), ("", 700, None)]


def test_many_rows_get_their_keys_on_every_engine(delivery, monkeypatch):
    """MySQL returns the key of one row only; notifications need the keys."""
    for returns in (True, False):
        monkeypatch.setattr(type(connection.features), "can_return_rows_from_bulk_insert", returns)
        changes = [change_of(delivery), change_of(delivery)]
        fast_sql.insert_all(changes)
        assert set(StatusChange.objects.filter(pk__in=[change.pk for change in changes])) == set(changes)
        assert len({change.pk for change in changes}) == 2
