"""The shop's adapters: whether they can be used, and for which orders and accounts."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from kaspi_delivery_django import conf, orders
from kaspi_delivery_django.checks.settings import settings_or_none, usable_adapters
from kaspi_delivery_django.models import Delivery

_WITHOUT_TEXT = (models.BinaryField, models.DurationField, models.JSONField)


def check_adapters(**_kwargs: Any) -> Iterator[CheckMessage]:
    """E005: an adapter cannot be used. E006: two name different orders alike. W013: there is none."""
    if settings_or_none() is None:
        return
    try:
        adapters = orders.adapters()
    except ImproperlyConfigured as err:
        hint = 'Name importable classes, as ORDER_ADAPTERS=["shop.kaspi.ShopOrderAdapter"].'
        yield Error(str(err), hint=hint, id="kaspi_delivery.E005")
        return
    default = orders.OrderAdapter.external_order_id
    plain = [a for a in adapters.values() if type(a).external_order_id is default]
    if len(plain) > 1:
        names = ", ".join(type(adapter).__name__ for adapter in plain)
        hint = 'Override external_order_id, as return f"shipment-{order.pk}".'
        message = f"{names} would give different orders the same external_order_id."
        yield Error(message, hint=hint, id="kaspi_delivery.E006")
    if not adapters:
        hint = 'Write an adapter for your orders, and name it: ORDER_ADAPTERS=["shop.kaspi.ShopOrderAdapter"].'
        yield Caution("ORDER_ADAPTERS is empty: no order is shipped.", hint=hint, id="kaspi_delivery.W013")


def check_primary_keys(**_kwargs: Any) -> Iterator[CheckMessage]:
    """E010: an order's primary key does not fit into the column that stores it."""
    max_length = Delivery._meta.get_field("object_id").max_length
    text = f"Its primary key does not fit into the {max_length} characters that a delivery has for it."
    hint = f"Give it one column of at most {max_length} characters, or adapt another model, say a shipment."
    for model in usable_adapters():
        if not _fits(model, max_length):
            yield Error(text, hint=hint, obj=model, id="kaspi_delivery.E010")


def check_key_texts(**_kwargs: Any) -> Iterator[CheckMessage]:
    """E012: an order's primary key has no text that the order could be found by again."""
    text = "An order cannot be found again by the text of its primary key."
    hint = "Give it a number, a UUID or a text as its key, or adapt another model, say a shipment."
    for model in usable_adapters():
        if isinstance(orders.key_field(model), _WITHOUT_TEXT):
            yield Error(text, hint=hint, obj=model, id="kaspi_delivery.E012")


def check_accounts_of_adapters(**_kwargs: Any) -> Iterator[CheckMessage]:
    """E011: an adapter ships from an account that is not there. W014: accounts that no adapter ships from."""
    found, adapters = settings_or_none(), usable_adapters()
    if found is None or not adapters:
        return
    plain = [a for a in adapters.values() if type(a).account is orders.OrderAdapter.account]
    aliases = ", ".join(found.accounts)
    hint = f'Override account(order) to return one of: {aliases}; or set an API_KEY outside of "ACCOUNTS".'
    if conf.DEFAULT_ACCOUNT not in found.accounts:
        text = 'It ships from the account "default", and the settings have none.'
        yield from (Error(text, hint=hint, obj=type(adapter), id="kaspi_delivery.E011") for adapter in plain)
    elif len(found.accounts) > 1 and len(plain) == len(adapters):
        hint = f"Override account(order) to return one of: {aliases}; or leave the other accounts out."
        text = 'Every adapter ships from the account "default": the others are never used.'
        yield Caution(text, hint=hint, obj=aliases, id="kaspi_delivery.W014")


def check_order_pages(**_kwargs: Any) -> Iterator[CheckMessage]:
    """W038: an order page of the shop's admin shows deliveries of a model that no adapter serves."""
    for page, model, path in _order_pages() if usable_adapters() else ():
        if orders.shipments_of(model, path) is None:
            text = f"It shows deliveries of {model._meta.label}, which no adapter serves: nothing is found."
            hint = (
                f"Name an adapter for {model._meta.label} in ORDER_ADAPTERS. If its parcels are shipped, write the"
                ' lookup that leads to them, as kaspi_shipments = "shipments".'
            )
            yield Caution(text, hint=hint, obj=page, id="kaspi_delivery.W038")


def _order_pages() -> Iterator[tuple[type[Any], type[models.Model], str]]:
    """Yield the pages and inlines that show deliveries: their class, the page's model, and the lookup they have."""
    if not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib.admin.sites import all_sites  # noqa: PLC0415  # it cannot be imported without its apps

    for site in all_sites:
        for model, page in site._registry.items():  # noqa: SLF001  # Django has no public list
            for kind in (type(page), *page.inlines):
                path = getattr(kind, "kaspi_shipments", None)
                if path is not None:
                    yield kind, model, path


def _fits(model: type[models.Model], max_length: int | None) -> bool:
    key = orders.key_field(model)
    if not orders.can_be_looked_up(model):
        return False
    is_text = isinstance(key, models.CharField | models.TextField)
    return not is_text or (key.max_length is not None and max_length is not None and key.max_length <= max_length)
