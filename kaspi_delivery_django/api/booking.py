"""Find the order that a client names, and book it."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import Model, Q

from kaspi_delivery_django import orders, services
from kaspi_delivery_django.api.problems import Problem, invalid_input
from kaspi_delivery_django.exceptions import CannotBook
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.models.search import number_key
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.services.deliveries import identities, payloads
from kaspi_delivery_django.services.errors import AdapterFailed, call_adapter

MAX_NAMED = 20


def book(given: Mapping[str, Any]) -> tuple[Delivery, bool]:
    """Book the order that a body names; return its delivery, and whether it is a new one.

    An order that has a delivery keeps it: then nothing is done. Raises `Problem`, and what `book_delivery` raises.
    """
    order = _order(given)
    try:
        return services.book_delivery(order, send_anyway=given["send_anyway"]), True
    except CannotBook as err:
        known = None if isinstance(err.__cause__, AdapterFailed) else _delivery_of(order)
        if known is None:
            raise
        return known, False


def model_named(label: str) -> type[Model]:
    """Return the model of an adapter by its label, in any case. Raises `Problem`."""
    models = orders.adapters()
    found = next((model for model in models if model._meta.label_lower == label.casefold()), None)
    if found is None:
        known = ", ".join(model._meta.label for model in models)
        raise invalid_input({"model": [f"No adapter is for this model. Known: {known}."]})
    return found


def _order(given: Mapping[str, Any]) -> Model:
    models = [model_named(given["model"])] if "model" in given else list(orders.adapters())
    if "reference" in given:
        return _only([order for model in models for order in _by_reference(model, given["reference"])])
    if len(models) != 1:
        raise invalid_input({"model": ["Several models have an adapter: name the order's."]})
    order = orders.find_by_key(models[0], given["order_id"], using=db_alias())
    return _only([] if order is None else [order])


def _only(found: list[Model]) -> Model:
    if not found:
        raise Problem("order_not_found")
    if len({(order._meta.concrete_model, order.pk) for order in found}) > 1:
        raise invalid_input({"reference": ["Several orders are called so: give `order_id` and `model`."]})
    return found[0]


def _by_reference(model: type[Model], reference: str) -> Iterator[Model]:
    """Yield the orders of a model that are called so: by its adapter, or by their deliveries."""
    adapter = orders.adapters()[model]
    if (order := call_adapter(adapter.find_order, reference)) is not None:
        yield order
    known = Q(external_order_id=reference) | Q(order_label=reference, label_key=number_key(reference))
    own = Delivery.objects.using(db_alias()).filter(known, content_type=identities.content_type_of(adapter))
    yield from payloads.orders_of(own.order_by("-pk")[:MAX_NAMED]).values()


def _delivery_of(order: Model) -> Delivery | None:
    """Return the newest delivery of the order, in the environment that it would be booked in."""
    adapter = identities.adapter_of(order)
    identity = identities.identity_of(adapter, order)
    return next(iter(identities.newest_of(adapter, identity.object_id, identity.environment)), None)
