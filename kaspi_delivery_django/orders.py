"""The one thing a shop writes: an adapter from its order model to a delivery."""

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.module_loading import import_string

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.types import DeliveryRequest

Order = TypeVar("Order", bound=models.Model)


class OrderAdapter(ABC, Generic[Order]):
    """Tells the package what it must know of an order.

    `model` is the model whose rows are shipped, as `"app.Model"`; any model will do. Adapters are
    made once per process and must not keep state. An adapter that raises never breaks the saving
    of an order: the delivery waits for a person, and saving the order again tries again.
    """

    model: str

    @abstractmethod
    def wants_delivery(self, order: Order) -> bool:
        """Whether the order is to be shipped. Asked on every save, and again right before a courier is booked.

        It must stay true once it was: say "paid and not cancelled", not "the status is paid". Keep it free of queries.
        """

    @abstractmethod
    def build_request(self, order: Order) -> DeliveryRequest:
        """Return what is shipped, from the database alone: our transaction waits for it.

        Asked after the order is committed, lines and all; what it returns then is sent, however often
        that takes. Until pickup it is asked again now and then, to notice an edited order.
        """

    def wants_cancel(self, order: Order) -> bool:
        """Whether the order's delivery is to be cancelled. Asked on every save, before booking, until pickup."""
        return False

    def cancel_reason(self, order: Order) -> str:
        """Return the reason that Kaspi is told; it becomes part of the cancel's payload."""
        return ""

    def external_order_id(self, order: Order) -> str:
        """Return the order's id at Kaspi: unique in the account, 1 to 128 printable ASCII."""
        return f"order-{order.pk}"

    def account(self, order: Order) -> str:
        """Return the alias of the account that ships the order."""
        return conf.DEFAULT_ACCOUNT

    def orders_to_enqueue(self) -> models.QuerySet[Order] | None:
        """Return the orders that `kaspi_enqueue` looks through, or None for none.

        Of these it books what has no delivery yet and `wants_delivery`. Leave out what was shipped
        before this app came: `Order.objects.filter(created_at__gte=...)`.
        """
        return None

    def model_class(self) -> type[Order]:
        """Return the class that `model` names."""
        try:
            return apps.get_model(self.model)
        except (AttributeError, LookupError, ValueError) as err:
            raise ImproperlyConfigured(
                f'{type(self).__name__}.model must name an installed model, as "shop.Order".'
            ) from err


AnyAdapter = OrderAdapter[Any]


def adapters() -> dict[type[models.Model], AnyAdapter]:
    """Return the adapters of ORDER_ADAPTERS by their models."""
    return _load(conf.current().order_adapters)


def adapter_for(model: type[models.Model]) -> AnyAdapter | None:
    """Return the adapter of a model; its proxies and multi-table children count as the model."""
    return _find(model, conf.current().order_adapters)


@lru_cache(maxsize=16)
def _load(paths: tuple[str, ...]) -> dict[type[models.Model], AnyAdapter]:
    found: dict[type[models.Model], AnyAdapter] = {}
    for path in paths:
        adapter = _import(path)
        model = adapter.model_class()._meta.concrete_model
        if model in found:
            raise ImproperlyConfigured(f"ORDER_ADAPTERS has two adapters for {adapter.model}.")
        found[model] = adapter
    return found


@lru_cache(maxsize=1024)
def _find(model: type[models.Model], paths: tuple[str, ...]) -> AnyAdapter | None:
    known = _load(paths)
    return next((known[kind] for kind in model.__mro__ if kind in known), None)


def _import(path: str) -> AnyAdapter:
    try:
        kind = import_string(path)
    except ImportError as err:
        raise ImproperlyConfigured(f"ORDER_ADAPTERS: cannot import {path!r}: {err}.") from err
    if not (isinstance(kind, type) and issubclass(kind, OrderAdapter)):
        raise ImproperlyConfigured(f"ORDER_ADAPTERS: {path!r} is not an OrderAdapter.")
    try:
        return kind()
    except Exception as err:  # the shop's code may raise anything
        raise ImproperlyConfigured(f"ORDER_ADAPTERS: {path!r} cannot be made: {err}.") from err
