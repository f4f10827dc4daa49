"""Leases: take, keep and release the right to send a call. The claim's token fences every write."""

import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models.functions import Coalesce

from kaspi_delivery_django.conf import Account
from kaspi_delivery_django.models import ApiCall, Delivery
from kaspi_delivery_django.models.calls import ApiCallQuerySet
from kaspi_delivery_django.services.db import database_now
from kaspi_delivery_django.services.outbox import circuit_breaker

State = ApiCall.State
LEASE = timedelta(seconds=60)


@dataclass(frozen=True)
class Claim:
    """A call that this process may send until its lease expires.

    `was_unknown`: an earlier attempt may have acted. `is_trial`: a half-open breaker let only this one through.
    `since_s`: when it was claimed, by the monotonic clock.
    """

    call: ApiCall
    delivery: Delivery
    account: Account
    was_unknown: bool = field(kw_only=True)
    is_trial: bool = field(kw_only=True)
    since_s: float = field(kw_only=True, default_factory=time.monotonic)


def take_all(ready: Iterable[Claim], now: datetime, *, frozen: Iterable[str]) -> list[Claim]:
    """Take the leases: one conditional UPDATE, and one token, for claims that are alike.

    `frozen` names fields that are written with the lease of the only claim.
    """
    alike = defaultdict(list)
    for claim in ready:
        call = claim.call
        alike[call.state, call.claim_token, call.kind in ApiCall.ACTING, claim.account].append(claim)
    leased = list[Claim]()
    for (*_, account), claims in alike.items():
        changes = {name: getattr(claims[0].call, name) for name in frozen} | _leased(account, now)
        leased += _take_alike(claims, changes, now)
    return leased


def release(claim: Claim) -> None:
    """Make an unsent claim due again at once, as if it had never been claimed."""
    call, now = claim.call, database_now()
    state, fresh = (State.UNKNOWN, {}) if claim.was_unknown else (State.DUE, {"unknown_since": None})
    held(call).end_lease(state, now=now, next_attempt_at=now, attempts=call.attempts - 1, **fresh)
    if claim.is_trial:
        circuit_breaker.release_trial(claim.delivery, now)


def release_expired() -> int:
    """Mark calls whose sender died as of unknown outcome. Return the number of calls."""
    now = database_now()
    expired = ApiCall.objects.due(now).filter(state=State.SENDING)
    return expired.order_by().end_lease(State.UNKNOWN, now=now, next_attempt_at=models.F("next_attempt_at"))


def held(call: ApiCall) -> ApiCallQuerySet:
    """Filter the claimed call, unless its lease was lost: every write of a claim is fenced by its token."""
    return ApiCall.objects.filter(pk=call.pk, **fence(call))


def fence(call: ApiCall) -> dict[str, str]:
    """Return the columns that a claimed call has until its lease is lost."""
    return {"state": State.SENDING, "claim_token": call.claim_token}


def _take_alike(claims: Sequence[Claim], changes: dict[str, Any], now: datetime) -> Iterable[Claim]:
    """Take the leases; `unknown_since` is set before a byte leaves."""
    first = claims[0].call
    unchanged = ApiCall.objects.filter(
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
    return claims if won == len(claims) else _still_held(claims, changes["claim_token"])


def _still_held(claims: Sequence[Claim], token: str) -> Iterable[Claim]:
    """Return the claims that no other sender has taken since they were read."""
    held = set(ApiCall.objects.filter(claim_token=token).values_list("pk", flat=True))
    return [claim for claim in claims if claim.call.pk in held]


def _leased(account: Account, now: datetime) -> dict[str, Any]:
    return {
        "state": State.SENDING,
        "claim_token": secrets.token_hex(16),
        "next_attempt_at": now + LEASE,
        "api_key_fingerprint": account.api_key_fingerprint,
        "base_url": account.base_url,
        "updated_at": now,
    }
