"""Claim a call: decide whether it may go, freeze what is sent, and take the lease. No HTTP here."""

import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any

from django.db import models
from django.db.models.functions import Coalesce

from kaspi_delivery_django import conf
from kaspi_delivery_django.conf import Account
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import db_alias, lock, lock_unlocked, run_in_transaction
from kaspi_delivery_django.services.deliveries import attention, calls, payloads, preflight
from kaspi_delivery_django.services.errors import AdapterFailed
from kaspi_delivery_django.services.outbox import circuit_breaker, clients

logger = logging.getLogger(__name__)
State, Kind = ApiCall.State, ApiCall.Kind
LEASE = timedelta(seconds=60)
MAX_BUILD_S = 1.0


@dataclass(frozen=True)
class Claim:
    """A call that this process may send until its lease ends.

    `was_unknown`: an earlier attempt may have acted. `is_trial`: the gate let only this one through. `since_s`: when it
    was taken, by the monotonic clock.
    """

    call: ApiCall
    delivery: Delivery
    account: Account
    was_unknown: bool = field(kw_only=True)
    is_trial: bool = field(kw_only=True)
    since_s: float = field(kw_only=True, default_factory=time.monotonic)


def claim(call_pk: int, *, using: str) -> Claim | None:
    """Claim a due call, or return None: it is not due, somebody else has it, or it must not go."""
    claimed, behind_gates = run_in_transaction(partial(_claim_all, [call_pk], using), using=using)
    if behind_gates:
        return _claim_trial(call_pk, using=using)
    return claimed[0] if claimed else None


def _claim_trial(call_pk: int, *, using: str) -> Claim | None:
    """Claim a call whose account's gate is closed, if it may go as the probe."""
    call = ApiCall.objects.using(using).select_related("delivery").filter(pk=call_pk).first()
    now = clock.database_now(using)
    if call is None or not _is_due(call, now) or not _has_key(call.delivery):
        return None
    admission = circuit_breaker.admit(call.delivery, now)
    if admission is circuit_breaker.Admission.BLOCKED:
        return None
    is_trial = admission is circuit_breaker.Admission.TRIAL
    account = conf.account(call.delivery.account)
    claim = run_in_transaction(partial(_claim_one, call, account, now, is_trial=is_trial), using=using)
    if claim is None and is_trial:
        circuit_breaker.release_trial(call.delivery, now)
    return claim


def claim_many(call_pks: Sequence[int], *, using: str) -> tuple[list[Claim], list[int]]:
    """Claim in one transaction those of the calls that are due, may go, and have an open gate.

    Returns the claims, and the primary keys of calls whose gate is to be asked: `take` does that. Once the payloads
    have taken a second to build, the other calls are left due: no row is locked for longer.
    """
    return run_in_transaction(partial(_claim_all, call_pks, using), using=using)


def release(claim: Claim, *, using: str) -> None:
    """Let a claimed call that was not sent go again at once, as if it had never been claimed."""
    call, now = claim.call, clock.database_now(using)
    state, fresh = (State.UNKNOWN, {}) if claim.was_unknown else (State.DUE, {"unknown_since": None})
    held = ApiCall.objects.using(using).filter(pk=call.pk, state=State.SENDING, claim_token=call.claim_token)
    calls.end_lease(held, state, now=now, next_attempt_at=now, attempts=call.attempts - 1, **fresh)
    if claim.is_trial:
        circuit_breaker.release_trial(claim.delivery, now)


@lru_cache
def log_missing_key(alias: str) -> None:
    """Say in the log, once, that an account cannot send."""
    logger.error("no API key is configured, calls wait: account=%s", alias)


def _is_due(call: ApiCall, now: datetime) -> bool:
    return call.next_attempt_at is not None and call.next_attempt_at <= now


def _claim_one(seen: ApiCall, account: Account | None, now: datetime, *, is_trial: bool) -> Claim | None:
    delivery = lock(using=db_alias(), id=seen.delivery_id, wait=False)
    if delivery is None:
        return None
    call = ApiCall.objects.get(pk=seen.pk)
    has_moved = delivery.account != seen.delivery.account  # the key and the gate are another account's
    if has_moved or not _is_due(call, now):
        return None
    is_unbuilt = _is_unbuilt(call)
    if not _may_go(call, delivery, account, now) or account is None:
        return None
    if is_unbuilt:
        payloads.store([(call, delivery)], using=db_alias())
    was_unknown = call.unknown_since is not None
    if not _lease(call, account, now):
        return None
    return Claim(call, delivery, account, was_unknown=was_unknown, is_trial=is_trial)


def _claim_all(call_pks: Sequence[int], using: str) -> tuple[list[Claim], list[int]]:
    began = time.monotonic()
    due = ApiCall.objects.using(using).due(clock.Now()).filter(pk__in=call_pks).select_related("delivery")
    found = lock_unlocked(due.annotate(is_guarded=circuit_breaker.is_blocked(), read_at=clock.Now()))
    if not found:
        return [], []
    now = clock.reading(found[0].read_at, using=using)  # type: ignore[attr-defined]  # annotated
    deliveries: dict[int, Delivery] = {}
    for call in found:  # two calls of one delivery share it: each sees what the other did
        call.delivery = deliveries.setdefault(call.delivery_id, call.delivery)
    behind_gates = [call.pk for call in found if call.is_guarded]  # type: ignore[attr-defined]  # annotated
    sendable = [call for call in found if call.pk not in behind_gates and _has_key(call.delivery)]
    orders = payloads.orders_of(call.delivery for call in sendable if _is_first_create(call))
    unbuilt = {call.pk for call in sendable if _is_unbuilt(call)}
    ready = []
    for call in sendable:
        delivery, account = call.delivery, conf.account(call.delivery.account)
        if len(call_pks) > 1 and time.monotonic() - began > MAX_BUILD_S:
            break
        if _may_go(call, delivery, account, now, orders.get(delivery.pk)) and account is not None:
            ready.append(Claim(call, delivery, account, was_unknown=call.unknown_since is not None, is_trial=False))
        elif account is not None and delivery.account != account.alias:
            behind_gates.append(call.pk)  # its order was given to another account, whose gate is to be asked
    is_alone = len(ready) == 1  # its payload is written with its lease
    built = [(claim.call, claim.delivery) for claim in ready if claim.call.pk in unbuilt]
    payloads.store(built, using=using, with_calls=not is_alone)
    frozen = payloads.FROZEN if built and is_alone else ()
    now = clock.reading(now, using=using, seconds=time.monotonic() - began)  # a lease begins when it is taken
    return _lease_all(ready, now, using, frozen=frozen), behind_gates


def flag_data_error(call_pk: int, error: str, *, token: str = "", using: str) -> None:
    """Stop a call whose data the database refuses, and flag its delivery; one that another sender holds is left alone.

    `token` is the claim that the caller holds, if it holds one.
    """
    run_in_transaction(partial(_flag_data_error, call_pk, error, token, using), using=using)


def _flag_data_error(call_pk: int, error: str, token: str, using: str) -> None:
    seen = ApiCall.objects.using(using).filter(pk=call_pk).first()
    delivery = lock(using=using, id=seen.delivery_id) if seen else None
    if delivery is None:
        return
    call = ApiCall.objects.using(using).get(pk=call_pk)
    is_own = call.state == State.SENDING and call.claim_token == token
    if is_own or call.state in {State.DUE, State.UNKNOWN}:
        is_unsent = call.kind == Kind.CREATE and call.unknown_since is None
        _stop(call, delivery, Attention.ADAPTER_FAILED if is_unsent else Attention.DATA_ERROR, error)


def _has_key(delivery: Delivery) -> bool:
    account = conf.account(delivery.account)
    if account is None or account.api_key:
        return True
    log_missing_key(account.alias)
    return False


def _is_first_create(call: ApiCall) -> bool:
    return call.kind == Kind.CREATE and call.unknown_since is None


def _is_unbuilt(call: ApiCall) -> bool:
    return call.kind == Kind.CREATE and not call.payload


def _may_go(
    call: ApiCall, delivery: Delivery, account: Account | None, now: datetime, order: models.Model | None = None
) -> bool:
    """Tell whether a due call may be sent, and write down why not. `order` is the shop's, if it was read before."""
    if _is_obsolete(call, delivery):
        return False
    hindrance = Attention.PAYLOAD_CHANGED if call.is_changed else _blocked_reason(call, delivery, account, now)
    if hindrance is not None:
        _stop(call, delivery, hindrance)
        return False
    if _is_first_create(call) and not _build(call, delivery, order, now):
        return False
    if call.kind == Kind.REFRESH:
        payloads.flag_edits(delivery)
    return True


def _lease(call: ApiCall, account: Account, now: datetime) -> bool:
    """Take the lease with one conditional UPDATE; `unknown_since` is set before a byte leaves."""
    changes = {**_leased(account, now), "attempts": call.attempts + 1}
    if call.kind in ApiCall.ACTING:
        changes["unknown_since"] = call.unknown_since or now
    unchanged = ApiCall.objects.filter(
        pk=call.pk, state=call.state, claim_token=call.claim_token, next_attempt_at__lte=now
    )
    won = unchanged.update(**changes)
    for name, value in changes.items():
        setattr(call, name, value)
    return bool(won)


def _lease_all(ready: Iterable[Claim], now: datetime, using: str, *, frozen: Iterable[str] = ()) -> list[Claim]:
    """Take the leases with one conditional UPDATE for those that are alike, and a token that they share.

    `frozen` names fields that are written with the lease of the one claim there is.
    """
    alike = defaultdict(list)
    for claim in ready:
        call = claim.call
        alike[call.state, call.claim_token, call.kind in ApiCall.ACTING, claim.account].append(claim)
    leased = list[Claim]()
    for (*_, account), claims in alike.items():
        changes = {name: getattr(claims[0].call, name) for name in frozen} | _leased(account, now)
        leased += _lease_alike(claims, changes, now, using)
    return leased


def _lease_alike(claims: Sequence[Claim], changes: dict[str, Any], now: datetime, using: str) -> Iterable[Claim]:
    first = claims[0].call
    unchanged = ApiCall.objects.using(using).filter(
        pk__in=[claim.call.pk for claim in claims],
        state=first.state,
        claim_token=first.claim_token,
        next_attempt_at__lte=now,
    )
    computed: dict[str, Any] = {"attempts": models.F("attempts") + 1}
    if first.kind in ApiCall.ACTING:
        computed["unknown_since"] = Coalesce("unknown_since", models.Value(now, models.DateTimeField()))
    won = unchanged.update(**changes, **computed)
    for claim in claims:
        call = claim.call
        call.attempts += 1
        call.unknown_since = (call.unknown_since or now) if call.kind in ApiCall.ACTING else call.unknown_since
        for name, value in changes.items():
            setattr(call, name, value)
    return claims if won == len(claims) else _still_held(claims, changes["claim_token"], using)


def _still_held(claims: Sequence[Claim], token: str, using: str) -> Iterable[Claim]:
    """Return those that nobody else has taken since they were read."""
    held = set(ApiCall.objects.using(using).filter(claim_token=token).values_list("pk", flat=True))
    return [claim for claim in claims if claim.call.pk in held]


def _leased(account: Account, now: datetime) -> dict[str, Any]:
    return {
        "state": State.SENDING,
        "claim_token": secrets.token_hex(16),
        "next_attempt_at": now + LEASE,
        "api_key_fingerprint": clients.fingerprint(account.api_key),
        "base_url": account.base_url,
        "updated_at": now,
    }


def _is_obsolete(call: ApiCall, delivery: Delivery) -> bool:
    """End a call that has nothing left to do."""
    booked = call.kind in (Kind.CREATE, Kind.LINK) and delivery.delivery_id is not None
    ended = call.kind == Kind.CANCEL and not delivery.is_open
    if booked or ended:
        calls.finish(ApiCall.objects.filter(pk=call.pk), State.DONE)
    return booked or ended


def _blocked_reason(call: ApiCall, delivery: Delivery, account: Account | None, now: datetime) -> Attention | None:
    """Return why a person must decide before this call may go; None when it may."""
    if account is None or account.environment != delivery.environment:
        return Attention.CONFIGURATION_CHANGED
    expired = call.is_key_expired(now)
    if call.kind == Kind.CANCEL:
        return Attention.CANCEL_UNKNOWN if expired else None
    if call.kind != Kind.CREATE:
        return None
    if expired:
        return Attention.OUTCOME_UNKNOWN
    if delivery.has_live_predecessor():
        return Attention.SECOND_PARCEL
    return _blocked_from_sending(call, now) if call.unknown_since is None else _blocked_from_replay(call, account)


def _blocked_from_sending(call: ApiCall, now: datetime) -> Attention | None:
    too_old = now >= call.queued_at + conf.current().max_dispatch_age
    return Attention.TOO_OLD if too_old else None


def _blocked_from_replay(call: ApiCall, account: Account) -> Attention | None:
    sent_with = (call.api_key_fingerprint, call.base_url)
    same = sent_with == (clients.fingerprint(account.api_key), account.base_url)
    return None if same else Attention.CONFIGURATION_CHANGED


def _stop(call: ApiCall, delivery: Delivery, reason: Attention, error: str = "") -> None:
    calls.mark_stuck(call, reason, error)
    attention.flag(delivery, reason)
    if call.kind == Kind.REFRESH:
        delivery.next_refresh_at = None
    delivery.save(update_fields=["next_refresh_at", *attention.COLUMNS])


def _build(call: ApiCall, delivery: Delivery, order: models.Model | None, now: datetime) -> bool:
    """Ask for the shop's latest word, and have the payload built."""
    try:
        return preflight.may_send(call, delivery, order, now)
    except AdapterFailed as err:
        _stop(call, delivery, Attention.ADAPTER_FAILED, str(err))
        return False
