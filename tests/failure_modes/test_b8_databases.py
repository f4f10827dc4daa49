"""B8: what every engine must hold."""

import json

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections, models
from django.db.migrations.loader import MigrationLoader

from kaspi_delivery_django import checks
from kaspi_delivery_django.models import ApiCall, Delivery, WebhookEvent
from tests.conftest import event
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT_BYTES = 3072


@pytest.mark.parametrize(("first", "second"), [("order-a", "ORDER-A"), ("order-e", "order-é")])
def test_b8_uniqueness_is_letter_by_letter(first, second):
    """Case and accents count, on MariaDB too."""
    order_type = ContentType.objects.get_for_model(Order)
    for number, name in enumerate((first, second)):
        Delivery.objects.create(
            account="default", environment="sandbox", content_type=order_type, object_id=number, external_order_id=name
        )
    assert Delivery.objects.get(external_order_id=first).object_id == "0"


def test_b8_indexes_fit_into_mariadbs_limit():
    """Four bytes for each letter."""
    for model in (Delivery, ApiCall, WebhookEvent):
        unique = [constraint.fields for constraint in model._meta.constraints]
        for names in (*unique, *(index.fields for index in model._meta.indexes)):
            fields = [model._meta.get_field(name) for name in names]
            assert sum(4 * (field.max_length or 2) for field in fields) <= LIMIT_BYTES


def test_b8_no_constraint_has_a_condition():
    """MariaDB has none such."""
    loader = MigrationLoader(connection)
    state = loader.project_state()
    ours = [model for (label, _name), model in state.models.items() if label == "kaspi_delivery"]
    found = [c for model in ours for c in model.options.get("constraints", ())]
    assert found
    assert all(isinstance(c, models.UniqueConstraint) and c.condition is None for c in found)


def test_b8_a_check_recommends_immediate_transactions_on_sqlite(monkeypatch):
    """Correctness does not depend on it; patience does."""
    engine = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {}}
    monkeypatch.setitem(connections.settings, "default", engine)
    [message] = checks.check_sqlite()
    assert (message.id, "IMMEDIATE" in message.hint) == ("kaspi_delivery.W005", True)
    engine["OPTIONS"]["transaction_mode"] = "immediate"
    assert checks.check_sqlite() == []


def test_b8_payloads_are_text_that_nothing_reorders(booked, post_webhook):
    """Byte for byte."""
    letter = event(booked, "accepted")
    body = json.dumps({key: letter[key] for key in reversed(letter)}, indent=3).encode()
    post_webhook(body)
    assert WebhookEvent.objects.get().body.encode() == body
    kind = ApiCall._meta.get_field("payload")
    assert isinstance(kind, models.TextField)
