"""Notify the configured runner after the commit that a call is due.

A lost notification costs only time: the worker finds the call. A call of an order that is saved
outside of a transaction is deferred to the end of the request, when the order's lines exist.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from weakref import WeakKeyDictionary

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import ApiCall
from kaspi_delivery_django.services.db import after_commit, db_alias

logger = logging.getLogger(__name__)


RUNNERS: dict[str, str] = {
    "inline": "kaspi_delivery_django.services.outbox.sender.send_inline",
    "celery": "kaspi_delivery_django.contrib.celery.enqueue",
    "django_tasks": "kaspi_delivery_django.contrib.django_tasks.enqueue",
}
_is_left_to_worker: ContextVar[bool] = ContextVar("kaspi_nudges_are_left", default=False)
_is_deferred: ContextVar[bool] = ContextVar("kaspi_nudges_are_held", default=False)
_deferred: ContextVar[list[int] | None] = ContextVar("kaspi_nudges_waiting", default=None)


# Under ASGI the receivers of `request_started`, the view and the receivers of `request_finished` each run in a copy of
# the request's context: what one sets, the others do not see. They share the object that Django gives each request.
_deferred_under_asgi: WeakKeyDictionary[ThreadSensitiveContext, list[int]] = WeakKeyDictionary()


def load_runner() -> None:
    """Import the runner, so that a task worker knows its tasks. What is wrong with the settings, the checks say."""
    with suppress(ImportError, ImproperlyConfigured):
        if path := RUNNERS.get(conf.current().runner):
            import_string(path)


def notify_runner(call: ApiCall) -> None:
    """Hand the call to the runner once the transaction is committed; `worker` needs no hint."""
    if _is_left_to_worker.get():
        return
    if conf.current().runner in RUNNERS:
        after_commit(_run_or_defer, call.pk, using=db_alias())
    else:
        _log_sender(logging.INFO)


@contextmanager
def deferred_to_worker() -> Iterator[None]:
    """Give the runner no hint of what becomes due here, not after the commit either."""
    token = _is_left_to_worker.set(True)
    try:
        yield
    finally:
        _is_left_to_worker.reset(token)


@contextmanager
def deferred_to_request_end() -> Iterator[None]:
    """Run nothing here, even if a transaction is committed here."""
    token = _is_deferred.set(True)
    try:
        yield
    finally:
        _is_deferred.reset(token)


def begin_request() -> None:
    """Keep what is held from now on, until `end_request`."""
    if (asgi := _asgi_request()) is not None:
        _deferred_under_asgi[asgi] = []
    else:
        _deferred.set([])


def end_request() -> int:
    """Hand over what was held while the request ran. Returns how many calls that were."""
    waiting = _deferred_calls() or []
    if (asgi := _asgi_request()) is not None:
        _deferred_under_asgi.pop(asgi, None)
    _deferred.set(None)
    for call_pk in waiting:
        after_commit(_run, call_pk, using=db_alias())
    return len(waiting)


def _run_or_defer(call_pk: int) -> None:
    waiting = _deferred_calls()
    if not _is_deferred.get():
        _run(call_pk)
    elif waiting is not None:
        waiting.append(call_pk)
    else:
        _log_sender(logging.WARNING)


def _log_sender(level: int) -> None:
    """Log who will send what is saved outside of a request, where this process does not: in a shell, say."""
    if _is_deferred.get() and _deferred_calls() is None:
        _log_once(level)


@lru_cache(maxsize=1)
def _log_once(level: int) -> None:
    logger.log(level, "booked; kaspi_worker will send it: no request is under way that the runner could follow")


def _asgi_request() -> ThreadSensitiveContext | None:
    """Return what is one object from the start of a request under ASGI to its end, in each of its threads and tasks."""
    return SyncToAsync.thread_sensitive_context.get(None)


def _deferred_calls() -> list[int] | None:
    """Return what this request has made due without a transaction; None outside of a request."""
    asgi = _asgi_request()
    return _deferred.get() if asgi is None else _deferred_under_asgi.get(asgi)


def _run(call_pk: int) -> None:
    import_string(RUNNERS[conf.current().runner])(call_pk)
