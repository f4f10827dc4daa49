"""Claim a call: decide whether it may go, freeze what is sent, and take the lease. No HTTP here."""

import logging
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction

from kaspi_delivery_django import conf
from kaspi_delivery_django.client import DeliveryRequest, wire
from kaspi_delivery_django.conf import Account
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.orders import adapter_for
from kaspi_delivery_django.services import attention, calls, clock, gate, gateway
from kaspi_delivery_django.services.failures import AdapterFailed, ask
from kaspi_delivery_django.services.transactions import durably, lock

logger = logging.getLogger(__name__)

State, Kind = ApiCall.State, ApiCall.Kind

LEASE = timedelta(seconds=60)
REPLAY_WINDOW = timedelta(hours=23)


@dataclass(frozen=True)
class Claim:
    """A call that this process may send until its lease ends.

    `was_unknown`: an earlier attempt may have acted. `probe`: the gate let only this one through.
    """

    call: ApiCall
    delivery: Delivery
    account: Account
    was_unknown: bool = field(kw_only=True)
    probe: bool = field(kw_only=True)


def take(call_pk: int, *, using: str) -> Claim | None:
    """Claim a due call, or return None: it is not due, somebody else has it, or it must not go."""
    call = ApiCall.objects.using(using).select_related("delivery").filter(pk=call_pk).first()
    now = clock.database_now(using)
    if call is None or not _is_due(call, now):
        return None
    account = conf.account(call.delivery.account)
    if account is not None and not account.api_key:
        _miss_key(account.alias)
        return None
    admission = gate.admit(call.delivery, now)
    if admission is gate.Admission.CLOSED:
        return None
    probe = admission is gate.Admission.PROBE
    claim = durably(partial(_claim, call, account, now, probe=probe), using=using)
    if claim is None and probe:
        gate.give_back(call.delivery, now)
    return claim


@lru_cache
def _miss_key(alias: str) -> None:
    logger.error("no API key is configured, calls wait: account=%s", alias)


def _is_due(call: ApiCall, now: datetime) -> bool:
    return call.next_attempt_at is not None and call.next_attempt_at <= now


def _claim(seen: ApiCall, account: Account | None, now: datetime, *, probe: bool) -> Claim | None:
    deliveries = Delivery.objects.using(seen._state.db)
    delivery = lock(deliveries.filter(pk=seen.delivery_id), wait=False)
    if delivery is None:
        return None
    call = ApiCall.objects.using(seen._state.db).get(pk=seen.pk)
    if not _is_due(call, now) or _is_needless(call, delivery):
        return None
    hindrance = _hindrance(call, delivery, account, now)
    if account is None or hindrance is not None:
        _stop(call, delivery, hindrance or Attention.CONFIGURATION_CHANGED)
        return None
    if call.kind == Kind.CREATE and call.unknown_since is None and not _freeze(call, delivery):
        return None
    if call.kind == Kind.REFRESH:
        _compare(delivery)
    was_unknown = call.unknown_since is not None
    if not _lease(call, account, now):
        return None
    return Claim(call, delivery, account, was_unknown=was_unknown, probe=probe)


def _lease(call: ApiCall, account: Account, now: datetime) -> bool:
    """Take the lease with one conditional UPDATE; `unknown_since` is set before a byte leaves."""
    changes: dict[str, Any] = {
        "state": State.SENDING,
        "claim_token": secrets.token_hex(16),
        "next_attempt_at": now + LEASE,
        "attempts": call.attempts + 1,
        "api_key_fingerprint": gateway.fingerprint(account.api_key),
        "base_url": account.base_url,
        "updated_at": now,
    }
    if call.kind != Kind.REFRESH:
        changes["unknown_since"] = call.unknown_since or now
    unchanged = ApiCall.objects.using(call._state.db).filter(
        pk=call.pk, state=call.state, claim_token=call.claim_token, next_attempt_at__lte=now
    )
    won = unchanged.update(**changes)
    for name, value in changes.items():
        setattr(call, name, value)
    return bool(won)


def _is_needless(call: ApiCall, delivery: Delivery) -> bool:
    """End a call that has nothing left to do."""
    booked = call.kind == Kind.CREATE and delivery.delivery_id is not None
    ended = call.kind == Kind.CANCEL and not delivery.is_open
    if booked or ended:
        calls.finish(calls.calls_of(delivery, Kind(call.kind)).filter(pk=call.pk), State.DONE)
    return booked or ended


def _hindrance(call: ApiCall, delivery: Delivery, account: Account | None, now: datetime) -> Attention | None:
    """Return why a person must decide before this call may go; None when it may."""
    if account is None or account.environment != delivery.environment:
        return Attention.CONFIGURATION_CHANGED
    if call.kind != Kind.CREATE:
        return None
    if call.unknown_since is None:
        too_old = now >= call.queued_at + conf.current().max_dispatch_age
        return Attention.TOO_OLD if too_old else None
    if now >= call.unknown_since + REPLAY_WINDOW:
        return Attention.OUTCOME_UNKNOWN
    sent_with = (call.api_key_fingerprint, call.base_url)
    same = sent_with == (gateway.fingerprint(account.api_key), account.base_url)
    return None if same else Attention.CONFIGURATION_CHANGED


def _stop(call: ApiCall, delivery: Delivery, reason: Attention, error: str = "") -> None:
    logger.error("call stuck: call=%s reason=%s error=%s", call.pk, reason.value, error or "-")
    call.state, call.next_attempt_at, call.claim_token = State.STUCK, None, ""
    call.error_message = error or call.error_message
    call.save(update_fields=["state", "next_attempt_at", "claim_token", "error_message", "updated_at"])
    attention.flag(delivery, reason)
    if call.kind == Kind.REFRESH:
        delivery.next_refresh_at = None
    delivery.save(update_fields=["attention", "next_refresh_at", "updated_at"])


def _freeze(call: ApiCall, delivery: Delivery) -> bool:
    """Build the payload through the adapter, once, and keep its text for every attempt.

    An order that is gone before anything was sent is abandoned.
    """
    try:
        with transaction.atomic(using=call._state.db):
            order = _order_of(delivery)
            if call.payload:
                return True
            request = _build(delivery, order)
    except models.ObjectDoesNotExist:
        calls.finish(calls.never_sent(delivery), State.ABANDONED)
        attention.clear(delivery, attention.OF_BOOKING)
        delivery.save(update_fields=["attention", "updated_at"])
        return False
    except AdapterFailed as err:
        _stop(call, delivery, Attention.ADAPTER_FAILED, str(err))
        return False
    call.payload = wire.dump(request.to_json())
    call.payload_sha256 = wire.digest(call.payload)
    call.save(update_fields=["payload", "payload_sha256"])
    _mirror_request(delivery, request)
    return True


def _order_of(delivery: Delivery) -> models.Model:
    types = ContentType.objects.db_manager(delivery._state.db)
    model = types.get_for_id(delivery.content_type_id).model_class()
    if model is None or adapter_for(model) is None:
        raise AdapterFailed("no adapter in ORDER_ADAPTERS is for this order's model any more")
    order: models.Model = model._base_manager.using(delivery._state.db).get(pk=delivery.object_id)
    return order


def _build(delivery: Delivery, order: models.Model) -> DeliveryRequest:
    adapter = adapter_for(type(order))
    request = ask(adapter.build_request, order) if adapter else None
    if not isinstance(request, DeliveryRequest):
        raise AdapterFailed("build_request must return a DeliveryRequest")
    return replace(request, external_order_id=delivery.external_order_id or "")


def _compare(delivery: Delivery) -> None:
    """Flag an order that was edited after it was booked and before the courier came."""
    create = calls.calls_of(delivery, Kind.CREATE).exclude(payload="").first()
    if create is None or delivery.attention or not delivery.is_before_pickup:
        return
    try:
        with transaction.atomic(using=delivery._state.db):
            payload = wire.dump(_build(delivery, _order_of(delivery)).to_json())
    except (models.ObjectDoesNotExist, AdapterFailed):
        return
    if wire.digest(payload) != create.payload_sha256:
        attention.flag(delivery, Attention.ORDER_EDITED)
        delivery.save(update_fields=["attention", "updated_at"])


def _mirror_request(delivery: Delivery, request: DeliveryRequest) -> None:
    columns = {f"parcel_{name}": value for name, value in vars(request.parcel).items()}
    for side, place in (("pickup", request.pickup), ("dropoff", request.dropoff)):
        columns[f"{side}_address"], columns[f"{side}_notes"] = place.address, place.notes
        columns[f"{side}_name"] = place.contact.name
        columns[f"{side}_phone"] = place.contact.phone
    Delivery.objects.using(delivery._state.db).filter(pk=delivery.pk).update(**columns)
