"""An order has one identity, however its primary key is spelled."""

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction
from django.test.utils import CaptureQueriesContext

from kaspi_delivery_django import orders, tracking
from kaspi_delivery_django.admin.orders.lists import OrderAttentionFilter
from kaspi_delivery_django.exceptions import CannotRetry, UsageError
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.services import adopt_delivery, request_delivery, retry_delivery
from kaspi_delivery_django.services.deliveries import identities
from kaspi_delivery_django.services.maintenance import backfill
from tests.keys import adapters
from tests.keys.models import (
    Attached,
    Carded,
    Coded,
    Identified,
    Named,
    Numbered,
    Paired,
    Priced,
    Sealed,
    Timed,
)
from tests.shop.models import Order

pytestmark = pytest.mark.django_db

ID = uuid.UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
SPELLINGS = [
    (Numbered, 742, ["0742", Decimal(742)]),
    (Identified, ID, [str(ID).upper(), ID.hex, f"{{{ID}}}", ID.int]),
    (Named, "kz-742", ["kz-742", "KZ-742"]),
    (Priced, Decimal("742.00"), [Decimal(742), "0742.0"]),
    (Coded, "ORD-742", [742, "ORD-742"]),
    (Attached, ID, [str(ID).upper()]),
    (Carded, 742, ["0742"]),
    (Sealed, 742, [Decimal(742)]),
]
CASES = [
    pytest.param(model, key, written, id=f"{model.__name__}-{written!r}")
    for model, key, spelled in SPELLINGS
    for written in spelled
]


UNUSABLE = {
    "a duration": (Timed, {"id": timedelta(hours=1)}),
    "two columns": (Paired, {"shop": 1, "number": 2}),
    "a long text": (Named, {"number": "n" * 70}),
}


@pytest.fixture(autouse=True)
def order_adapters(settings):
    """Use an adapter for each model."""
    paths = [*adapters.ALL, "tests.shop.adapters.OrderAdapter"]
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": paths}


def make(model, written, **values):
    """Return an unsaved order whose key is spelled like this."""
    if model is Attached:
        Identified.objects.bulk_create([Identified(pk=written, paid=False)], ignore_conflicts=True)
        return model(base_id=written, **values)
    if model is Sealed:
        return model(id=written, seal="a seal", **values)
    if model is Carded:
        return model(id=written, **values)
    return model(pk=written, **values)


def stored(model, key):
    """Return the order as the database has it."""
    return model.objects.get(**{"id" if model is Sealed else "pk": key})


def the_delivery():
    """Return the only delivery, which has the only call."""
    delivery = Delivery.objects.get()
    assert ApiCall.objects.get().delivery_id == delivery.pk
    return delivery


@pytest.mark.parametrize(("model", "key", "written"), CASES)
def test_a_new_order_in_any_spelling(kaspi, drain, model, key, written):
    """A save of the stored row books nothing more, the worker finds it, and the shop's instance is not changed."""
    order = make(model, written)
    order.save()
    kept = getattr(order, orders.key_name(orders.identified_model(order)))
    assert (kept, type(kept)) == (written, type(written))
    stored(model, written).save()
    assert the_delivery().object_id == str(Named.objects.get().pk if model is Named else key)
    drain()
    assert the_delivery().delivery_id


@pytest.mark.parametrize(("model", "key", "written"), CASES)
def test_a_known_order_in_another_spelling(model, key, written):
    """A save, a request, the pages, adoption and the admin's filter find its delivery, named by the stored key."""
    if model is Named and written != key and connection.vendor == "postgresql":
        pytest.skip("PostgreSQL compares text exactly: these are two orders")
    make(model, key, paid=False).save()
    order = make(model, written)
    order._state.adding = False
    order.save()
    delivery, name = the_delivery(), f"{type(identities.adapter_of(order)).__name__}-{key}"
    assert (delivery.external_order_id, ApiCall.objects.get().idempotency_key) == (name, name)
    again = make(model, written)
    again._state.adding = False
    again.save(force_update=model not in {Carded, Sealed, Attached})
    assert request_delivery(again) == tracking.delivery_of(again) == the_delivery()
    assert list(identities.deliveries_of(identities.adapter_of(again), again)) == [the_delivery()]
    assert delivery.object_id == str(key)
    ApiCall.objects.update(unknown_since=delivery.created_at)
    assert adopt_delivery(again, "dlv_1") == Delivery.objects.get()
    Delivery.objects.update(attention="too_old")
    others = {"object_id": "not a key", "attention": "too_old", "environment": "sandbox"}
    Delivery.objects.create(content_type=delivery.content_type, **others)
    only = OrderAttentionFilter(None, {"kaspi_delivery": ["attention"]}, model, None)
    assert [found.pk for found in only.queryset(None, model.objects.all())] == [stored(model, key).pk]


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_in_many_spellings_add_one_row(at_once):
    """By the unique constraint."""
    Identified.objects.bulk_create([Identified(pk=ID)])
    written = [str(ID), str(ID).upper(), ID.hex, f"{{{ID}}}"] * 2
    assert (
        at_once(*[lambda text=text: request_delivery(Identified(pk=text)) and None for text in written]) == [None] * 8
    )
    the_delivery()


@pytest.mark.parametrize("model", [model for model, *_rest in SPELLINGS], ids=lambda model: model.__name__)
def test_no_key_costs_a_save_more_than_five_statements(model):
    """A key that must be read is read by the query for the delivery."""
    written = next(spelled[0] for kind, _key, spelled in SPELLINGS if kind is model)
    first = make(model, written, paid=False)
    first.save()
    unwanted = _statements(first)
    first.paid = True
    assert _statements(first) - unwanted <= 2  # the savepoint and a query are there already
    assert Delivery.objects.exists()
    assert _statements(first) - unwanted <= 2


def _statements(order):
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        order.save()
    return len(captured)


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_key_is_flagged(kaspi, drain, kind):
    """However often the order is saved or retried; it is never abandoned, and ignored while it is not wanted."""
    model, values = UNUSABLE[kind]
    order = model.objects.create(**values, paid=False)
    order.save()
    assert not Delivery.objects.exists()
    order.paid = True
    order.save()
    order.save(update_fields=["paid"])
    drain()
    call, delivery = ApiCall.objects.get(), Delivery.objects.get()
    assert (delivery.attention, call.state) == ("adapter_failed", "stuck")
    assert "adapt a model whose key is a number" in call.error_message
    assert list(identities.deliveries_of(identities.adapter_of(order), order)) == [delivery]
    assert request_delivery(order) == delivery
    with pytest.raises(CannotRetry):
        retry_delivery(delivery)
    assert Delivery.objects.get().attention == "adapter_failed"


def test_an_unsaved_order_has_no_delivery():
    """A request for it is refused."""
    for model in (Numbered, Named):
        order = model(pk=None)
        assert tracking.delivery_of(order) is None
        with pytest.raises(UsageError, match="save the order first"):
            request_delivery(order)
    assert not Delivery.objects.exists()


def test_an_invalid_key_is_refused():
    """The field does not accept it, whatever it raises."""
    with pytest.raises(orders.UnusableKey, match="its field does not accept"):
        orders.order_key(Numbered(pk="one"), using="default")
    with pytest.raises(orders.UnusableKey, match="adapt a model whose key is a number"):
        orders.usable_key(Numbered, "one")


def test_a_key_that_is_an_expression_is_read():
    """Some versions of Django leave the expression in the instance."""
    Numbered(pk=models.Value(742)).save(force_insert=True)
    assert the_delivery().object_id == "742"


def test_the_key_of_a_missing_row_is_returned_as_it_is():
    """The order itself counts as deleted."""
    order = Named.objects.create(pk="kz-1", paid=False)
    Named.objects.all().delete()
    order.paid = True
    assert orders.order_key(Named(pk="Gone"), using="default") == "Gone"
    assert identities.order_ref(identities.adapter_of(order), order, from_row=True) is None


def test_a_model_with_a_composite_key_is_never_abandoned(kaspi, drain):
    """The model was changed after its order was booked."""
    Order.objects.create()
    Delivery.objects.update(content_type=ContentType.objects.get_for_model(Paired))
    drain()
    assert ApiCall.objects.get().state == "stuck"


def test_a_search_accepts_every_spelling(settings):
    """Of numbers and UUIDs; other texts are searched for as they are, also without adapters."""
    for written in ("0742", " 742", "742"):
        assert "742" in orders.key_texts(written)
    assert str(ID) in orders.key_texts(str(ID).upper()) & orders.key_texts(ID.hex)
    assert orders.key_texts("KZ-1") == {"KZ-1"}
    settings.KASPI_DELIVERY = {**settings.KASPI_DELIVERY, "ORDER_ADAPTERS": ["no.such.Adapter"]}
    assert orders.key_texts("0742") == {"0742"}


@pytest.mark.parametrize("model", [Named, Paired, Timed, Numbered, Coded, Priced, Identified])
def test_enqueue_finds_every_order_once(model):
    """Also after bulk_create; an order that cannot be looked up is flagged once."""
    values = {
        **dict(UNUSABLE.values()),
        Numbered: {"id": " 742"},
        Coded: {"id": "742"},
        Priced: {"id": 742},
        Identified: {"id": str(ID).upper()},
    }[model]
    model.objects.bulk_create([model(**values)])
    adapter = orders.adapter_for(model)
    adapter.orders_to_enqueue = model.objects.all
    try:
        first, second = (next(iter(backfill.enqueue(adapter, batch=10))) for _ in range(2))
    finally:
        del adapter.orders_to_enqueue
    assert first["booked"] + first["failed"] == 1
    assert not second["booked"] + second["failed"]
    the_delivery()
