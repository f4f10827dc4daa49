"""Claim calls: check that they may be sent, freeze their payloads, and take the leases. No HTTP here."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache, partial

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import database_now, run_in_transaction
from kaspi_delivery_django.services.deliveries import payloads, preflight
from kaspi_delivery_django.services.locks import lock, lock_unlocked
from kaspi_delivery_django.services.outbox import circuit_breaker, leases
from kaspi_delivery_django.services.outbox.circuit_breaker import Breaker
from kaspi_delivery_django.services.outbox.leases import Claim

logger = logging.getLogger(__name__)
State, Kind = ApiCall.State, ApiCall.Kind
MAX_BUILD_S = 1.0


def claim(call_pk: int) -> Claim | None:
    """Claim a due call; None when it is not due, is claimed already, or must not be sent."""
    claimed, blocked = run_in_transaction(partial(_claim_all, [call_pk]))
    if blocked:
        return _claim_trial(call_pk)
    return claimed[0] if claimed else None


def claim_many(call_pks: Sequence[int]) -> tuple[list[Claim], list[int]]:
    """Claim in one transaction those of the calls that are due, may be sent, and have a closed breaker.

    Return the claims, and the primary keys of the calls whose breaker is not closed, for `claim`. Once the payloads
    have taken a second to build, the other calls are left due: no row is locked for longer.
    """
    return run_in_transaction(partial(_claim_all, call_pks))


@lru_cache
def log_missing_key(alias: str) -> None:
    """Log, once, that an account cannot send."""
    logger.error("no API key is configured, calls stay due: account=%s", alias)


def flag_data_error(call_pk: int, error: str, *, token: str) -> None:
    """Stop a call whose data the database refuses, and flag its delivery. The caller opens the transaction.

    A call claimed elsewhere is left alone. `token` is that of the caller's claim, if it has one.
    """
    seen = ApiCall.objects.filter(pk=call_pk).first()
    delivery = lock(id=seen.delivery_id) if seen else None
    if delivery is None:
        return
    call = ApiCall.objects.get(pk=call_pk)
    is_own = call.state == State.SENDING and call.claim_token == token
    if is_own or call.state in {State.DUE, State.UNKNOWN}:
        is_first = preflight.is_first_create(call)
        preflight.stop(call, delivery, Attention.ADAPTER_FAILED if is_first else Attention.DATA_ERROR, error)


def _claim_trial(call_pk: int) -> Claim | None:
    """Claim a call whose account's breaker was not closed, if it may be the trial call or the breaker has closed."""
    now = database_now()
    call = ApiCall.objects.due(now).select_related("delivery").filter(pk=call_pk).first()
    if call is None or not _has_key(call.delivery):
        return None
    breaker = circuit_breaker.admit(call.delivery, now)
    if breaker is Breaker.OPEN:
        return None
    is_trial = breaker is Breaker.HALF_OPEN
    admitted = partial(_claim_all, [call_pk], admitted=call.delivery.account, is_trial=is_trial)
    claimed, _blocked = run_in_transaction(admitted)
    if not claimed and is_trial:
        circuit_breaker.release_trial(call.delivery, now)
    return claimed[0] if claimed else None


def _claim_all(
    call_pks: Sequence[int], *, admitted: str | None = None, is_trial: bool = False
) -> tuple[list[Claim], list[int]]:
    """Claim calls; those of the account that its breaker has `admitted`, or else those of closed breakers."""
    began = time.monotonic()
    found, read_at = _lock_due(call_pks)
    if read_at is None:
        return [], []
    now = clock.reading(read_at)
    blocked = [call.pk for call in found if _is_blocked(call, admitted)]
    sendable = [call for call in found if call.pk not in blocked and _has_key(call.delivery)]
    orders = payloads.orders_of(call.delivery for call in sendable if preflight.is_first_create(call))
    before = {call.pk: call.payload for call in sendable}  # a payload is built again for a new name
    ready = []
    for call in sendable:
        delivery, account = call.delivery, conf.account(call.delivery.account)
        if len(call_pks) > 1 and time.monotonic() - began > MAX_BUILD_S:
            break
        if preflight.may_send(call, delivery, account, now, orders.get(delivery.pk)) and account is not None:
            was_unknown = call.unknown_since is not None
            ready.append(Claim(call, delivery, account, was_unknown=was_unknown, is_trial=is_trial))
        elif account is not None and delivery.account != account.alias:
            blocked.append(call.pk)  # its order was moved to another account, whose breaker decides
    is_alone = len(ready) == 1  # its payload is written with its lease
    built = [(claim.call, claim.delivery) for claim in ready if claim.call.payload != before[claim.call.pk]]
    payloads.store(built, with_calls=not is_alone)
    frozen = payloads.FROZEN if built and is_alone else ()
    now = clock.reading(now, seconds=time.monotonic() - began)  # a lease begins when it is taken
    return leases.take_all(ready, now, frozen=frozen), blocked


def _lock_due(call_pks: Sequence[int]) -> tuple[list[ApiCall], datetime | None]:
    """Lock those of the calls that are due and unlocked, and their deliveries; return the database's time, too."""
    due = ApiCall.objects.due(clock.Now()).filter(pk__in=call_pks).select_related("delivery")
    found = lock_unlocked(due.annotate(is_guarded=circuit_breaker.is_blocked(), read_at=clock.Now()))
    read_at: datetime | None = found[0].read_at if found else None  # type: ignore[attr-defined]  # annotated
    deliveries: dict[int, Delivery] = {}
    for call in found:  # two calls of one delivery share its instance: each sees the other's changes
        call.delivery = deliveries.setdefault(call.delivery_id, call.delivery)
        call.delivery.locked_at = read_at
    return found, read_at


def _is_blocked(call: ApiCall, admitted: str | None) -> bool:
    is_guarded: bool = call.is_guarded  # type: ignore[attr-defined]  # annotated
    return is_guarded if admitted is None else call.delivery.account != admitted


def _has_key(delivery: Delivery) -> bool:
    account = conf.account(delivery.account)
    if account is None or account.api_key:
        return True
    log_missing_key(account.alias)
    return False
