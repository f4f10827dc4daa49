"""Receivers of Django's signals: a saved order is followed, a request's deferred calls are sent at its end."""

import logging
from typing import Any

from django.core.signals import request_finished, request_started
from django.db import close_old_connections, models
from django.db.models.signals import post_save
from django.urls import resolve

from kaspi_delivery_django.orders import adapter_for
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.db import is_broken
from kaspi_delivery_django.services.deliveries import orders, runners

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
            with runners.deferred_to_request_end():
                orders.follow_order(adapter, instance, _save(sender, using, kwargs))
    except Exception as err:  # a checkout must never break on us
        error = errors.describe(err)
        logger.error("order not followed: model=%s pk=%s error=%s", sender, errors.one_line(str(instance.pk)), error)  # noqa: TRY400
        if is_broken(using):
            raise


def _save(sender: type[models.Model], using: str, told: dict[str, Any]) -> orders.Save:
    """Read Django's words. A multi-table child's row may be new though its parent's, the order's, is not."""
    is_new = bool(told.get("created")) and not sender._meta.parents
    return orders.Save(using=using, is_new=is_new, is_partial=told.get("update_fields") is not None)


def request_began(**_kwargs: Any) -> None:
    """Remember which calls this request makes due."""
    runners.begin_request()


def request_ended(**_kwargs: Any) -> None:
    """Send what was saved without a transaction, now that the customer has the answer."""
    if runners.end_request():
        close_old_connections()


def connect_cookie_filter() -> None:
    """Listen to the start of each request, which is before any middleware."""
    request_started.connect(drop_cookies, dispatch_uid="kaspi_delivery.drop_cookies")


def drop_cookies(environ: dict[str, Any] | None = None, scope: dict[str, Any] | None = None, **_signal: Any) -> None:
    """Forget the Cookie header of a request to the webhook; any other request is left as it is."""
    if environ is not None and "HTTP_COOKIE" in environ and _is_webhook(environ.get("PATH_INFO", "")):
        del environ["HTTP_COOKIE"]
    if scope is not None and _is_webhook(scope["path"].removeprefix(scope.get("root_path", ""))):
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() != b"cookie"]


def _is_webhook(path: str) -> bool:
    """Tell whether the path leads to a view of ours that reads no cookie.

    The view says so itself: importing it here would load REST framework in every process. Whatever the host's
    URLconf raises is the request's own to meet.
    """
    if "hook" not in path:  # a host's other requests pay no more than this
        return False
    try:
        view: Any = resolve(path).func
    except Exception:  # noqa: BLE001  # no such page, or a URLconf that cannot be imported
        return False
    return getattr(getattr(view, "cls", None), "reads_no_cookie", False)
