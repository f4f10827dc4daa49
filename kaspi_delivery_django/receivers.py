"""Follow the shop's orders: a save may book a delivery, or cancel it."""

import logging
from typing import Any

from django.core.signals import request_finished, request_started
from django.db import close_old_connections, models
from django.db.models.signals import post_save

from kaspi_delivery_django.orders import adapter_for
from kaspi_delivery_django.services import failures, following, nudges
from kaspi_delivery_django.services.transactions import is_broken

logger = logging.getLogger(__name__)


def connect() -> None:
    """Listen to every model, because proxies and children send signals in their own name."""
    post_save.connect(order_saved, dispatch_uid="kaspi_delivery.order_saved")
    request_started.connect(request_began, dispatch_uid="kaspi_delivery.request_began")
    request_finished.connect(request_ended, dispatch_uid="kaspi_delivery.request_ended")


def order_saved(sender: type[models.Model], instance: models.Model, using: str, **kwargs: Any) -> None:
    """Do what the adapter wants. A fixture (`raw`) wants nothing.

    Only a transaction that can no longer be committed is not kept from the shop: going on in it
    would lose the order without a word.
    """
    try:
        adapter = adapter_for(sender)
        if adapter is not None and not kwargs.get("raw"):
            with nudges.held():
                following.follow_order(adapter, instance, _save(sender, using, kwargs))
    except Exception as err:  # a checkout must never break on us
        error = failures.describe(err)
        logger.error("order not followed: model=%s pk=%s error=%s", sender, failures.one_line(str(instance.pk)), error)  # noqa: TRY400
        if is_broken(using):
            raise


def _save(sender: type[models.Model], using: str, told: dict[str, Any]) -> following.Save:
    """Read Django's words. A multi-table child's row may be new though its parent's, the order's, is not."""
    is_new = bool(told.get("created")) and not sender._meta.parents
    return following.Save(using=using, is_new=is_new, is_partial=told.get("update_fields") is not None)


def request_began(**_kwargs: Any) -> None:
    """Remember which calls this request makes due."""
    nudges.begin_request()


def request_ended(**_kwargs: Any) -> None:
    """Send what was saved without a transaction, now that the customer has the answer."""
    if nudges.end_request():
        close_old_connections()
