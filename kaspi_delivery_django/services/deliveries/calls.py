"""Insert deliveries and their calls; reschedule the calls, and stop them.

Only this module writes idempotency keys. Whoever changes a call holds the lock of its delivery.
"""

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError
from django.db.models import Q

from kaspi_delivery_django.client import protocol
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.models.calls import digest
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services import clock, fast_sql
from kaspi_delivery_django.services.db import atomic
from kaspi_delivery_django.services.deliveries import runners
from kaspi_delivery_django.services.deliveries.identities import Identity, content_type_of
from kaspi_delivery_django.services.errors import AdapterFailed
from kaspi_delivery_django.services.locks import lock

logger = logging.getLogger(__name__)
State, Kind = ApiCall.State, ApiCall.Kind
MAX_CLOCK_SKEW = timedelta(minutes=1)  # the database's clock decides what is due, and may be behind this process's
KEY_COLUMNS = ("object_id", "environment", "parcel", "returned_generation", "generation")
NAME_TAKEN = "another order has this external_order_id already"
KEY_LIFETIME = timedelta(hours=24)  # a booking older than this counts as one whose key Kaspi has forgotten


def open_delivery(adapter: AnyAdapter, identity: Identity, add: Callable[[Delivery], object]) -> Delivery:
    """Insert a delivery, and `add` its create; return the existing delivery if another transaction was faster."""
    try:
        with atomic():
            delivery = insert(adapter, identity)
            add(delivery)
    except IntegrityError as err:
        faster = winner(adapter, identity)
        if faster is None:
            raise AdapterFailed(NAME_TAKEN) from err
        return faster
    return delivery


def winner(adapter: AnyAdapter, identity: Identity) -> Delivery | None:
    """Return the row that another transaction inserted first.

    The read locks, because on MariaDB our snapshot may be older than that transaction's commit.
    """
    own: dict[str, Any] = {name: getattr(identity, name) for name in KEY_COLUMNS}
    with atomic():
        return lock(**own, content_type=content_type_of(adapter).pk)


def insert(adapter: AnyAdapter, identity: Identity) -> Delivery:
    """Insert a delivery without a call. Raises `IntegrityError` when there is one already."""
    own = identity.columns() | {name: getattr(identity, name) for name in KEY_COLUMNS}
    delivery = Delivery(**own, content_type=content_type_of(adapter))
    fast_sql.insert(delivery)
    return delivery


def idempotency_key(external_order_id: str | None, kind: str, number: int = 1) -> str:
    """Return the idempotency key of an order's call: the text that Kaspi's documentation suggests."""
    name = external_order_id or ""
    if kind == Kind.CREATE:
        return name
    return f"{name}-{kind}" if number == 1 else f"{name}-{kind}-{number}"


def mark_stuck(call: ApiCall, reason: Attention, now: datetime, error: str = "") -> None:
    """Stop a call until staff decide."""
    logger.error("call stuck: call=%s reason=%s error=%s", call.pk, reason.value, error or "-")
    _end_lease(call, State.STUCK, now, reason=reason, error_message=error or call.error_message)


def postpone(call: ApiCall, until: datetime, reason: str, now: datetime, **columns: Any) -> None:
    """Postpone a call that was never sent."""
    _end_lease(call, State.DUE, now, next_attempt_at=until, reason=reason, **columns)


def add_create(delivery: Delivery) -> ApiCall:
    """Add the booking. Its payload is built when it is claimed first."""
    now = clock.now()
    call = _new_create(delivery, queued_at=now, next_attempt_at=now - MAX_CLOCK_SKEW)
    fast_sql.insert(call, stamped=clock.stamped("next_attempt_at", "queued_at"))
    runners.notify_runner(call)
    return call


def add_stuck_create(delivery: Delivery, reason: Attention, error: str) -> None:
    """Add a booking that cannot be sent before staff act."""
    _new_create(delivery, queued_at=clock.now(), state=State.STUCK, reason=reason, error_message=error).save()


def add_booked_elsewhere(delivery: Delivery) -> None:
    """Add a booking that other code, or staff, has made: it is never sent."""
    now = clock.now()
    create = _new_create(delivery, queued_at=now, state=State.STUCK, reason=Attention.OUTCOME_UNKNOWN)
    create.unknown_since = now - KEY_LIFETIME
    create.save()


def add_cancel(delivery: Delivery) -> None:
    """Add the cancel of a linked delivery: one POST for each reason, however often it is requested."""
    cancels = ApiCall.objects.of(delivery, Kind.CANCEL)
    payload = protocol.cancel_text(delivery.cancel_reason, ascii_only=True)
    latest = cancels.first()
    if latest and (latest.state in ApiCall.UNRESOLVED or _is_same(latest, payload)):
        return
    now = clock.now_of(delivery)
    call = ApiCall.objects.create(
        delivery=delivery,
        kind=Kind.CANCEL,
        idempotency_key=idempotency_key(delivery.external_order_id, Kind.CANCEL, cancels.count() + 1),
        payload=payload,
        payload_sha256=digest(payload),
        next_attempt_at=now - MAX_CLOCK_SKEW,
        queued_at=now,
    )
    runners.notify_runner(call)


def add_refresh(delivery: Delivery, *, at_once: bool = False) -> ApiCall:
    """Add a GET of the delivery. One row serves every refresh, so that polling grows no table.

    A refresh that is under way keeps its failures, and its time unless it is wanted `at_once`.
    """
    call, created = _only_call(delivery, Kind.REFRESH)
    if not created and call.state not in ApiCall.UNRESOLVED:
        restart(call, clock.now_of(delivery))
    elif not created and at_once:
        make_due(call, clock.now_of(delivery))
    return call


def add_link(delivery: Delivery, delivery_id: str) -> ApiCall:
    """Add a GET of this delivery id, which links it if it is the delivery's."""
    call, created = _only_call(delivery, Kind.LINK, payload=delivery_id)
    if not created:
        call.payload = delivery_id
        call.save(update_fields=["payload"])
        restart(call, clock.now_of(delivery))
    return call


def restart(call: ApiCall, now: datetime) -> None:
    """Make a call due as if it were new: its age and its failures start over."""
    key = call.idempotency_key or idempotency_key(call.delivery.external_order_id, call.kind)
    fresh = {"state": State.DUE, "idempotency_key": key, "attempts": 0, "strikes": 0, "queued_at": now}
    _change(call, **fresh, next_attempt_at=now - MAX_CLOCK_SKEW, reason="", error_code="", error_message="")
    runners.notify_runner(call)


def send_again(call: ApiCall, now: datetime, *, strikes: int = 0) -> None:
    """Make a stuck call due that Kaspi may have acted on: with the same key and the same bytes."""
    _change(call, state=State.UNKNOWN, strikes=strikes, next_attempt_at=now - MAX_CLOCK_SKEW, reason="")
    runners.notify_runner(call)


def make_due(call: ApiCall, now: datetime) -> None:
    """Make a call due that waits for its next attempt. A claimed call is left alone."""
    waiting = ApiCall.objects.filter(pk=call.pk, state__in=(State.DUE, State.UNKNOWN))
    if waiting.update(next_attempt_at=now - MAX_CLOCK_SKEW, updated_at=now):
        runners.notify_runner(call)


def rename_unsent(delivery: Delivery, external_order_id: str | None) -> int:
    """Give the create of a locked delivery the key of this name while it is unsent: its payload is built again."""
    unbuilt = Q(payload="")
    unsent = Q(state=State.DUE, attempts=0, http_status__isnull=True, error_code="", error_message="")
    own = ApiCall.objects.never_sent(delivery).filter(unbuilt | unsent)
    key = idempotency_key(external_order_id, Kind.CREATE)
    return own.update(idempotency_key=key, payload="", payload_sha256="", updated_at=clock.now_of(delivery))


def _new_create(delivery: Delivery, **columns: Any) -> ApiCall:
    key = idempotency_key(delivery.external_order_id, Kind.CREATE)
    return ApiCall(delivery=delivery, kind=Kind.CREATE, idempotency_key=key, **columns)


def _only_call(delivery: Delivery, kind: ApiCall.Kind, *, payload: str = "") -> tuple[ApiCall, bool]:
    now = clock.now_of(delivery)
    call, created = ApiCall.objects.get_or_create(
        delivery=delivery,
        idempotency_key=idempotency_key(delivery.external_order_id, kind),
        defaults={"kind": kind, "payload": payload, "next_attempt_at": now - MAX_CLOCK_SKEW, "queued_at": now},
    )
    if created:
        runners.notify_runner(call)
    return call, created


def _end_lease(call: ApiCall, state: str, now: datetime, **columns: Any) -> None:
    ApiCall.objects.filter(pk=call.pk).end_lease(state, now=now, **columns)
    for name, value in {"next_attempt_at": None, **columns, "state": state, "claim_token": ""}.items():
        setattr(call, name, value)


def _change(call: ApiCall, **columns: Any) -> None:
    for name, value in columns.items():
        setattr(call, name, value)
    call.save(update_fields=[*columns, "updated_at"])


def _is_same(latest: ApiCall, payload: str) -> bool:
    return latest.state == State.DONE and json.loads(latest.payload or "{}") == json.loads(payload)
