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
    """Connect to every model: proxies and child models send signals of their own."""
    post_save.connect(order_saved, dispatch_uid="kaspi_delivery.order_saved")
    request_started.connect(request_began, dispatch_uid="kaspi_delivery.request_began")
    request_finished.connect(request_ended, dispatch_uid="kaspi_delivery.request_ended")
    request_started.connect(drop_cookies, dispatch_uid="kaspi_delivery.drop_cookies")  # before any middleware runs


def order_saved(sender: type[models.Model], instance: models.Model, using: str, **kwargs: Any) -> None:
    """Follow a saved order; skip fixtures (`raw`).

    Errors are logged and never raised, except in a transaction that can no longer be committed: there
    the shop must know, or it would lose the order silently.
    """
    try:
        adapter = adapter_for(sender)
        if adapter is not None and not kwargs.get("raw"):
            with runners.deferred_to_request_end():
                orders.follow_order(adapter, instance, _save(sender, using, kwargs))
    except Exception as err:  # our error must not break a checkout
        error = errors.describe(err)
        logger.error("order not followed: model=%s pk=%s error=%s", sender, errors.one_line(str(instance.pk)), error)  # noqa: TRY400
        if is_broken(using):
            raise


def _save(sender: type[models.Model], using: str, kwargs: dict[str, Any]) -> orders.Save:
    """Read the signal's arguments. A multi-table child may be new although its parent, the order, is not."""
    is_new = bool(kwargs.get("created")) and not sender._meta.parents
    return orders.Save(using=using, is_new=is_new, is_partial=kwargs.get("update_fields") is not None)


def request_began(**_kwargs: Any) -> None:
    """Collect the calls that become due in this request."""
    runners.begin_request()


def request_ended(**_kwargs: Any) -> None:
    """Run the deferred calls, after the response was sent."""
    if runners.end_request():
        close_old_connections()


def drop_cookies(environ: dict[str, Any] | None = None, scope: dict[str, Any] | None = None, **_signal: Any) -> None:
    """Remove the Cookie header from a request to the webhook; leave other requests alone."""
    if environ is not None and "HTTP_COOKIE" in environ and _is_webhook(environ.get("PATH_INFO", "")):
        del environ["HTTP_COOKIE"]
    if scope is not None and _is_webhook(scope["path"].removeprefix(scope.get("root_path", ""))):
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() != b"cookie"]


def _is_webhook(path: str) -> bool:
    """Return whether the path leads to our webhook view, which reads no cookies.

    The view has an attribute for it: importing the view here would load REST framework in every
    process. Errors of the host's URLconf are left to the request itself.
    """
    if "hook" not in path:  # the only cost for other requests
        return False
    try:
        view: Any = resolve(path).func
    except Exception:  # noqa: BLE001  # no such page, or a URLconf that cannot be imported
        return False
    return getattr(getattr(view, "cls", None), "reads_no_cookie", False)
