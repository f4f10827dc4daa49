"""After the commit, tell the configured runner that a call is due. A lost nudge costs only time.

An order that is saved without a transaction is committed inside our signal receiver, before its
lines exist. Such a nudge is held back until the request is finished; outside of a request the
worker finds the call.
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
from kaspi_delivery_django.services.transactions import after_commit, home

logger = logging.getLogger(__name__)

RUNNERS: dict[str, str] = {
    "inline": "kaspi_delivery_django.services.outbox.send_inline",
    "celery": "kaspi_delivery_django.contrib.celery.nudge",
    "django_tasks": "kaspi_delivery_django.contrib.django_tasks.nudge",
}

_is_left: ContextVar[bool] = ContextVar("kaspi_nudges_are_left", default=False)
_is_held: ContextVar[bool] = ContextVar("kaspi_nudges_are_held", default=False)
_waiting: ContextVar[list[int] | None] = ContextVar("kaspi_nudges_waiting", default=None)
# Under ASGI the receivers of `request_started`, the view and the receivers of `request_finished` each run in a copy of
# the request's context: what one sets, the others do not see. They share the object that Django gives each request.
_waiting_under_asgi: WeakKeyDictionary[ThreadSensitiveContext, list[int]] = WeakKeyDictionary()


def load_runner() -> None:
    """Import the runner, so that a task worker knows its tasks. What is wrong with the settings, the checks say."""
    with suppress(ImportError, ImproperlyConfigured):
        if path := RUNNERS.get(conf.current().runner):
            import_string(path)


def nudge(call: ApiCall) -> None:
    """Hand the call to the runner once the transaction is committed; `worker` needs no hint."""
    if _is_left.get():
        return
    if conf.current().runner in RUNNERS:
        after_commit(_pass_on, call.pk, using=home())
    else:
        _name_the_sender(logging.INFO)


@contextmanager
def left_to_the_worker() -> Iterator[None]:
    """Give the runner no hint of what becomes due here, not after the commit either."""
    token = _is_left.set(True)
    try:
        yield
    finally:
        _is_left.reset(token)


@contextmanager
def held() -> Iterator[None]:
    """Run nothing here, even if a transaction is committed here."""
    token = _is_held.set(True)
    try:
        yield
    finally:
        _is_held.reset(token)


def begin_request() -> None:
    """Keep what is held from now on, until `end_request`."""
    if (asgi := _asgi_request()) is not None:
        _waiting_under_asgi[asgi] = []
    else:
        _waiting.set([])


def end_request() -> int:
    """Hand over what was held while the request ran. Returns how many calls that were."""
    waiting = _held_calls() or []
    if (asgi := _asgi_request()) is not None:
        _waiting_under_asgi.pop(asgi, None)
    _waiting.set(None)
    for call_pk in waiting:
        after_commit(_run, call_pk, using=home())
    return len(waiting)


def _pass_on(call_pk: int) -> None:
    waiting = _held_calls()
    if not _is_held.get():
        _run(call_pk)
    elif waiting is not None:
        waiting.append(call_pk)
    else:
        _name_the_sender(logging.WARNING)


def _name_the_sender(level: int) -> None:
    """Log who will send what is saved outside of a request, where this process does not: in a shell, say."""
    if _is_held.get() and _held_calls() is None:
        _log_once(level)


@lru_cache(maxsize=1)
def _log_once(level: int) -> None:
    logger.log(level, "booked; kaspi_worker will send it: no request is under way that the runner could follow")


def _asgi_request() -> ThreadSensitiveContext | None:
    """Return what is one object from the start of a request under ASGI to its end, in each of its threads and tasks."""
    return SyncToAsync.thread_sensitive_context.get(None)


def _held_calls() -> list[int] | None:
    """Return what this request has made due without a transaction; None outside of a request."""
    asgi = _asgi_request()
    return _waiting.get() if asgi is None else _waiting_under_asgi.get(asgi)


def _run(call_pk: int) -> None:
    import_string(RUNNERS[conf.current().runner])(call_pk)
