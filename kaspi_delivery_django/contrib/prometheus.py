"""Metrics for Prometheus: gauges of the tables, and counters of this process.

Needs the extra `prometheus`. Call `connect()` in the `ready` of one of the project's AppConfigs; every
exporter of the registry then shows the metrics, django-prometheus among them. docs/running.md
explains each metric.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric

from kaspi_delivery_django import statuses
from kaspi_delivery_django.client import KaspiError
from kaspi_delivery_django.models import ApiCall, Attention, StatusChange
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.db import db_connection
from kaspi_delivery_django.signals import (
    call_attempted,
    delivery_needs_attention,
    delivery_status_changed,
    webhook_answered,
)
from kaspi_delivery_django.stats import recent, snapshot
from kaspi_delivery_django.stats.metrics import ATTEMPT, GAUGES
from kaspi_delivery_django.stats.report import Report

__all__ = ["Collector", "connect", "serve"]

logger = logging.getLogger(__name__)

PREFIX = "kaspi_delivery_"
REQUEST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40)
OK = "ok"

_seen: WeakKeyDictionary[CollectorRegistry, "_Seen"] = WeakKeyDictionary()
_lock = threading.Lock()


def connect(registry: CollectorRegistry = REGISTRY) -> None:
    """Put the metrics into a registry, once however often it is called. Makes no query."""
    with _lock:
        if registry not in _seen:
            _seen[registry] = _Seen(registry)
            registry.register(Collector())


@contextmanager
def serve(port: int, address: str) -> Iterator[int]:
    """Serve the default registry from a thread of this process; yields the port, which 0 lets the system choose.

    Raises `OSError` when the address cannot be had.
    """
    connect()
    server, thread = start_http_server(port, addr=address)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Collector:
    """Reads the tables at each scrape, in four statements whose cost does not grow with the tables.

    When they cannot be read, `kaspi_delivery_up` is 0 and the other gauges are missing; the host's own
    metrics are not affected.
    """

    def __init__(self) -> None:
        self._is_up = True
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Name nothing, so that registering makes no query."""
        return []

    def collect(self) -> Iterator[Metric]:
        families = self._read()
        yield GaugeMetricFamily(f"{PREFIX}up", "Whether the tables could be read.", value=bool(families))
        yield from families

    def _read(self) -> Sequence[Metric]:
        """Return the families, none when the tables cannot be read; log that once, not per scrape."""
        try:
            with self._lock, _connection_left_as_found():  # one connection, however many scrape at once
                families = list(_families())
        except Exception as err:  # noqa: BLE001  # the host's other metrics must not miss a scrape
            if self._is_up:
                logger.error("metrics not read: error=%s", errors.describe(err))  # noqa: TRY400
            self._is_up = False
            return []
        self._is_up = True
        return families


@contextmanager
def _connection_left_as_found() -> Iterator[None]:
    """Close the connection that a scrape opens: exporters make a thread for each, and Django closes none of theirs."""
    connection = db_connection()
    was_open = connection.connection is not None
    try:
        yield
    finally:
        if not was_open:
            connection.close()
        elif connection.errors_occurred:
            connection.close_if_unusable_or_obsolete()


def _families() -> Iterator[Metric]:
    report = Report()
    for name, gauge in GAUGES.items():
        family = GaugeMetricFamily(PREFIX + name, gauge.help, labels=gauge.labels)
        for values, value in gauge.read(report):
            family.add_metric(values, float(value))
        yield family


class _Seen:
    """The counters of this process, fed by the signals. No receiver touches the database."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._webhooks = Counter(
            f"{PREFIX}webhooks", "Webhooks answered.", ("outcome", "http_status"), registry=registry
        )
        self._changes = Counter(f"{PREFIX}status_changes", "Status changes sent.", ("status",), registry=registry)
        self._attempts = Counter(f"{PREFIX}attempts", "Attempts of calls.", ATTEMPT, registry=registry)
        self._replays = Counter(
            f"{PREFIX}replays", "Successes that Kaspi replayed from its store.", ("kind",), registry=registry
        )
        self._attention = Counter(f"{PREFIX}needs_attention", "Flags raised.", ("reason",), registry=registry)
        self._seconds = Histogram(
            f"{PREFIX}request_seconds",
            "How long Kaspi took.",
            ("kind",),
            registry=registry,
            buckets=REQUEST_SECONDS,
        )
        self._start_at_zero()
        self._listen()

    def _start_at_zero(self) -> None:
        """Show the rare ones before they happen: `increase()` does not see a series that begins at 1."""
        for status in (*statuses.STATUSES, snapshot.OTHER):
            self._changes.labels(status)
        for reason in Attention.values:
            self._attention.labels(reason)
        self._webhooks.labels("unauthorized", "401")
        for kind in (ApiCall.Kind.CREATE, ApiCall.Kind.CANCEL):
            self._replays.labels(str(kind))

    def _listen(self) -> None:
        """Connect the methods weakly: they count as long as the registry lives."""
        webhook_answered.connect(self._count_webhook)
        delivery_status_changed.connect(self._count_change)
        delivery_needs_attention.connect(self._count_attention)
        call_attempted.connect(self._count_attempt)

    def _count_webhook(self, http_status: int, outcome: str, **_signal: Any) -> None:
        self._webhooks.labels(outcome.replace(" ", "_"), str(http_status)).inc()

    def _count_change(self, change: StatusChange, **_signal: Any) -> None:
        status = change.to_status
        self._changes.labels(status if status in statuses.STATUSES else snapshot.OTHER).inc()

    def _count_attention(self, attention: str, **_signal: Any) -> None:
        self._attention.labels(str(attention)).inc()

    def _count_attempt(
        self, call: ApiCall, error: KaspiError | None, seconds: float, *, replayed: bool = False, **_signal: Any
    ) -> None:
        answer = OK if error is None else recent.answer_label(error.status)
        self._attempts.labels(str(call.kind), answer).inc()
        self._seconds.labels(str(call.kind)).observe(seconds)
        if replayed:
            self._replays.labels(str(call.kind)).inc()
