"""The migrations: complete, and good in both directions on the engine in use."""

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from kaspi_delivery_django.models import (
    AccountState,
    ApiCall,
    Delivery,
    FailedAttempt,
    PendingAction,
    StatusChange,
    WebhookEvent,
)
from kaspi_delivery_django.models.deliveries import phone_tail
from tests.shop.models import Order

MODELS = (AccountState, ApiCall, Delivery, FailedAttempt, PendingAction, StatusChange, WebhookEvent)
TABLES = {model._meta.db_table for model in MODELS}


def migrate(*target):
    """Migrate in silence."""
    call_command("migrate", *target, verbosity=0)


@pytest.mark.django_db
def test_the_models_need_no_new_migration():
    """What the models say is what the migrations make."""
    call_command("makemigrations", "--check", "--dry-run", "--skip-checks", verbosity=0)


def test_the_migrations_have_one_end():
    """Two branches of history were merged before they were released."""
    loader = MigrationLoader(None)
    assert len(loader.graph.leaf_nodes("kaspi_delivery")) == 1


@pytest.mark.django_db(transaction=True)
def test_the_app_can_be_taken_out_and_put_back():
    """Migrating to zero leaves no table of ours, and migrating again brings all of them."""
    try:
        migrate("kaspi_delivery", "zero")
        assert not TABLES & set(connection.introspection.table_names())
    finally:
        migrate()  # whatever depends on us was taken out too
    assert set(connection.introspection.table_names()) >= TABLES
    assert not Delivery.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_phones_that_were_there_before_are_found_by_their_end(booked):
    """The column is filled from the phone; what was blanked stays so."""
    blanked = Order.objects.create()
    Delivery.objects.filter(object_id=str(blanked.pk)).update(blanked_at=booked.created_at)
    try:
        migrate("kaspi_delivery", "0002")
    finally:
        migrate()
    found = dict(Delivery.objects.values_list("object_id", "phone_tail"))
    assert found == {booked.object_id: phone_tail(booked.dropoff_phone), str(blanked.pk): ""}


@pytest.mark.django_db(transaction=True)
def test_what_was_cancelled_before_it_was_sent_gets_its_status(booked):
    """As new ones do; what Kaspi refused, may have booked or has is left alone, and no one is notified."""
    orders = [Order.objects.create() for _ in range(4)]
    cancelled, refused, waiting, wanted = (Delivery.objects.get(object_id=str(order.pk)) for order in orders)
    Delivery.objects.exclude(pk=wanted.pk).update(cancel_requested_at=booked.created_at, cancel_reason="a mistake")
    cancelled.calls.update(state="abandoned")
    refused.calls.update(state="refused")
    wanted.calls.update(state="abandoned")  # acknowledged: somebody shipped it otherwise
    try:
        migrate("kaspi_delivery", "0007")
    finally:
        migrate()
    found = {one.pk: one.status for one in Delivery.objects.all()}
    ours = (booked.pk, cancelled.pk, refused.pk, waiting.pk, wanted.pk)
    assert [found[pk] for pk in ours] == ["created", "cancelled", "", "", ""]
    step = cancelled.history.get()
    assert (step.from_status, step.to_status, step.note) == ("", "cancelled", "a mistake")
    assert (step.notified_at, Delivery.objects.get(pk=cancelled.pk).status_at) == (booked.created_at,) * 2


def indexes_of(column):
    """Return the names of a deliveries' column's own indexes."""
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, Delivery._meta.db_table)
    return [name for name, one in found.items() if one["index"] and one["columns"] == [column]]


@pytest.mark.skipif(connection.vendor == "mysql", reason="a foreign key cannot be without one there")
@pytest.mark.django_db(transaction=True)
def test_no_index_is_kept_up_that_nobody_reads():
    """All deliveries of a shop are of one type of order; a step back brings the index again."""
    assert indexes_of("content_type_id") == []
    try:
        migrate("kaspi_delivery", "0006")
        assert len(indexes_of("content_type_id")) == 1
    finally:
        migrate()
    assert indexes_of("content_type_id") == []
