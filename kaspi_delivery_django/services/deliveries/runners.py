"""Notify the configured runner, after the commit, that a call is due.

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
from kaspi_delivery_django.services.db import after_commit

logger = logging.getLogger(__name__)
RUNNERS: dict[str, str] = {
    "inline": "kaspi_delivery_django.services.outbox.sender.send_inline",
    "celery": "kaspi_delivery_django.contrib.celery.enqueue",
    "django_tasks": "kaspi_delivery_django.contrib.django_tasks.enqueue",
}
_is_left_to_worker: ContextVar[bool] = ContextVar("kaspi_runner_left_to_worker", default=False)
_is_deferred: ContextVar[bool] = ContextVar("kaspi_runner_deferred", default=False)
_deferred: ContextVar[list[int] | None] = ContextVar("kaspi_runner_deferred_calls", default=None)
# Under ASGI the receivers of `request_started`, the view and the receivers of `request_finished` run in copies of the
# request's context, and cannot see one another's context variables. They share the object that Django makes for each
# request.
_deferred_under_asgi: WeakKeyDictionary[ThreadSensitiveContext, list[int]] = WeakKeyDictionary()


def load_runner() -> None:
    """Import the runner, so that a task worker knows its tasks. The system checks report wrong settings."""
    with suppress(ImportError, ImproperlyConfigured):
        if path := RUNNERS.get(conf.current().runner):
            import_string(path)


def notify_runner(call: ApiCall) -> None:
    """Hand the call to the runner once the transaction is committed; `worker` needs no notification."""
    if _is_left_to_worker.get():
        return
    if conf.current().runner in RUNNERS:
        after_commit(_run_or_defer, call.pk)
    else:
        _log_sender(logging.INFO)


@contextmanager
def deferred_to_worker() -> Iterator[None]:
    """Leave the calls that become due here to the worker."""
    token = _is_left_to_worker.set(True)
    try:
        yield
    finally:
        _is_left_to_worker.reset(token)


@contextmanager
def deferred_to_request_end() -> Iterator[None]:
    """Defer the runner to the end of the request, even if a transaction is committed here."""
    token = _is_deferred.set(True)
    try:
        yield
    finally:
        _is_deferred.reset(token)


def begin_request() -> None:
    """Collect deferred calls until `end_request`."""
    if (asgi := _asgi_request()) is not None:
        _deferred_under_asgi[asgi] = []
    else:
        _deferred.set([])


def end_request() -> int:
    """Run the calls that the request deferred. Return their number."""
    waiting = _deferred_calls() or []
    if (asgi := _asgi_request()) is not None:
        _deferred_under_asgi.pop(asgi, None)
    _deferred.set(None)
    for call_pk in waiting:
        after_commit(_run, call_pk)
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
    """Log that the worker will send a call that is added outside of a request, as in a shell."""
    if _is_deferred.get() and _deferred_calls() is None:
        _log_once(level)


@lru_cache(maxsize=1)
def _log_once(level: int) -> None:
    logger.log(level, "booked; kaspi_worker will send it: no request is under way that the runner could follow")


def _asgi_request() -> ThreadSensitiveContext | None:
    """Return the object that lives as long as the ASGI request, in each of its threads and tasks."""
    return SyncToAsync.thread_sensitive_context.get(None)


def _deferred_calls() -> list[int] | None:
    """Return the calls that this request has deferred; None outside of a request."""
    asgi = _asgi_request()
    return _deferred.get() if asgi is None else _deferred_under_asgi.get(asgi)


def _run(call_pk: int) -> None:
    import_string(RUNNERS[conf.current().runner])(call_pk)
