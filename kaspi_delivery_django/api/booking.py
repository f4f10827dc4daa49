"""Find the order that a client names, and book it; book a return."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import Model, Q

from kaspi_delivery_django import orders
from kaspi_delivery_django.api.bodies import model_named
from kaspi_delivery_django.api.problems import Problem
from kaspi_delivery_django.exceptions import AlreadyBooked
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.models.search import number_key
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.services.deliveries import identities, payloads
from kaspi_delivery_django.services.deliveries.booking import request_return
from kaspi_delivery_django.services.deliveries.orders import book_delivery
from kaspi_delivery_django.services.errors import call_adapter
from kaspi_delivery_django.services.locks import locked_row

MAX_NAMED = 20


def book(given: Mapping[str, Any], *, sees_personal: bool) -> tuple[Delivery, bool]:
    """Book the order that a body names; return its delivery, and whether it is a new one.

    An order that is booked as a whole keeps what it has: then nothing is done. Only who `sees_personal` data may name
    an order by a label that may be personal. Raises `Problem`, and what `book_delivery` raises.
    """
    order = _order(given, sees_personal=sees_personal)
    try:
        return book_delivery(order, send_anyway=given["send_anyway"]), True
    except AlreadyBooked as err:
        return err.delivery, False


def book_return(delivery: Delivery, reason: str) -> tuple[Delivery, bool]:
    """Book the return of a delivery; return it, and whether it is a new one. Raises what `request_return` raises."""
    with locked_row(delivery) as locked:
        is_new = not locked.has_return()
        return request_return(locked, reason=reason), is_new


def _order(given: Mapping[str, Any], *, sees_personal: bool) -> Model:
    models = [model_named(given["model"])] if "model" in given else list(orders.adapters())
    if "reference" in given:
        return _only([order for model in models for order in _by_reference(model, given["reference"], sees_personal)])
    if len(models) != 1:
        raise Problem("invalid_input", errors={"model": ["Several models have an adapter: name the order's."]})
    order = orders.find_by_key(models[0], given["order_id"], using=db_alias())
    return _only([] if order is None else [order])


def _only(found: list[Model]) -> Model:
    if not found:
        raise Problem("order_not_found")
    if len({(order._meta.concrete_model, order.pk) for order in found}) > 1:
        words = "Several orders are called so: give `order_id` and `model`."
        raise Problem("invalid_input", errors={"reference": [words]})
    return found[0]


def _by_reference(model: type[Model], reference: str, sees_personal: bool) -> Iterator[Model]:  # noqa: FBT001
    """Yield the orders of a model that are called so: by its adapter, or by their deliveries."""
    adapter = orders.adapters()[model]
    if (order := call_adapter(adapter.find_order, reference)) is not None:
        yield order
    label = Q(order_label=reference, label_key=number_key(reference))
    known = Q(external_order_id=reference) | (label if sees_personal else label & Q(label_is_personal=False))
    own = Delivery.objects.filter(known, content_type=identities.content_type_of(adapter))
    yield from payloads.orders_of(own.order_by("-pk")[:MAX_NAMED]).values()
