"""Metrics for Prometheus: what stands in the tables, and what this process has seen.

Needs the extra `prometheus`. Call `connect()` in the `ready` of one of the project's AppConfigs; every
exporter of the registry then shows the metrics, django-prometheus among them. docs/running.md
says what each one means.
"""

import logging
import threading
from collections import Counter as Counts
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric

from kaspi_delivery_django import statuses
from kaspi_delivery_django.client import KaspiError
from kaspi_delivery_django.models import ApiCall, Attention, StatusChange
from kaspi_delivery_django.services import errors
from kaspi_delivery_django.services.db import db_alias
from kaspi_delivery_django.signals import (
    call_attempted,
    delivery_needs_attention,
    delivery_status_changed,
    webhook_answered,
)
from kaspi_delivery_django.stats import accounts, recent, report, snapshot

__all__ = ["Collector", "connect", "serve"]

logger = logging.getLogger(__name__)

PREFIX = "kaspi_delivery_"
REQUEST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40)
OK = "ok"
ACCOUNT = ("account", "environment")
TRY = ("kind", "answer")

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

    When they cannot be read, `kaspi_delivery_up` is 0 and the other gauges are missing: whatever else
    the host's registry has is shown all the same.
    """

    def __init__(self) -> None:
        self._is_up = True
        self._turn = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Name nothing, so that registering makes no query."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the tables."""
        families = self._read()
        yield _gauge("up", "Whether the tables could be read.", bool(families))
        yield from families

    def _read(self) -> Sequence[Metric]:
        """Return the families, none when the tables cannot be read; the log says so once, not per scrape."""
        try:
            with self._turn, _connection_left_as_found():  # one connection, however many scrape at once
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
    connection = connections[db_alias()]
    was_open = connection.connection is not None
    try:
        yield
    finally:
        if not was_open:
            connection.close()
        elif connection.errors_occurred:
            connection.close_if_unusable_or_obsolete()


def _families() -> Iterator[Metric]:
    found = snapshot.read()
    yield from _standing_families(found)
    yield from _account_families()
    yield from _recent_families(found.read_at)


def _standing_families(found: snapshot.Snapshot) -> Iterator[Metric]:
    deliveries = report.by_word(found.deliveries)
    actions = {"waiting": found.actions_waiting, "refused": found.actions_refused}
    yield _by("status", "deliveries", "Deliveries that have not ended, by Kaspi's word.", deliveries)
    yield _by("reason", "attention", "Deliveries that need a person.", found.attention)
    yield _by("state", "dead_letters", "Webhook events that took no effect.", found.dead_letters)
    yield _by("state", "calls", "Calls that are not finished.", found.calls)
    yield _by("state", "actions", "Actions of staff that the worker has to do, or was refused.", actions)
    yield _gauge("overdue", "Deliveries on their way past the time that Kaspi promised.", found.overdue)
    oldest, last = found.oldest_due_age.total_seconds(), _timestamp(found.last_webhook_at)
    yield _gauge("oldest_due_age_seconds", "How long the oldest due call has waited, 0 for none.", oldest)
    yield _gauge("last_webhook_timestamp_seconds", "When the last webhook came, 0 for never.", last)


def _account_families() -> Iterator[Metric]:
    known = {(account.alias, account.environment): account for account in accounts.read()}
    gates = {key: account.is_closed for key, account in known.items()}
    seen = {key: _timestamp(account.worker_seen_at) for key, account in known.items()}
    yield _gauges(ACCOUNT, "gate_closed", "Whether calls wait because Kaspi refused the account.", gates.items())
    yield _gauges(ACCOUNT, "worker_seen_timestamp_seconds", "When a worker was last seen, 0 for never.", seen.items())


def _recent_families(now: datetime) -> Iterator[Metric]:
    failed = Counts[tuple[str, str]]()
    for (kind, http_status), count in recent.failed_attempts(now, within=report.AN_HOUR).items():
        failed[str(kind), recent.answer_label(http_status)] += count
    came = recent.webhooks(now)
    yield _gauges(TRY, "failed_attempts_last_hour", "Tries that failed in the last hour.", failed.items())
    yield _gauge("webhook_events_last_day", "Events of the last day.", came.events)
    yield _gauge("webhook_events_repeated_last_day", "Events of the last day sent more than once.", came.repeated)
    yield _gauge("webhook_most_attempts_last_day", "The most attempts of one event.", came.most_attempts)


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, says, value=value)


def _gauges(labels: Sequence[str], name: str, says: str, samples: Iterable[tuple[Sequence[str], float]]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, says, labels=labels)
    for values, value in samples:
        family.add_metric(values, float(value))
    return family


def _by(label: str, name: str, says: str, counts: Mapping[str, int]) -> Metric:
    return _gauges([label], name, says, (([key], count) for key, count in counts.items()))


def _timestamp(at: datetime | None) -> float:
    return at.timestamp() if at else 0


class _Seen:
    """What this process has seen, by the signals. No receiver touches the database."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._webhooks = Counter(
            f"{PREFIX}webhooks", "Webhooks answered.", ("outcome", "http_status"), registry=registry
        )
        self._changes = Counter(f"{PREFIX}status_changes", "Steps told to receivers.", ("status",), registry=registry)
        self._attempts = Counter(f"{PREFIX}attempts", "Tries of calls.", TRY, registry=registry)
        self._replays = Counter(
            f"{PREFIX}replays", "Successes that Kaspi had stored before.", ("kind",), registry=registry
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
        """Connect the methods, weakly: they listen as long as the registry lives."""
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
