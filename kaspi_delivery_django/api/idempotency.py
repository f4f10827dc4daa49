"""Do a request once for each `Idempotency-Key` of a user, also when duplicates arrive at the same time."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import IntegrityError
from django.db.models import QuerySet

from kaspi_delivery_django.api.models import KEY_LENGTH, IdempotencyKey
from kaspi_delivery_django.api.problems import Problem, refusal_of
from kaspi_delivery_django.exceptions import DeliveryError
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.services.db import OldRows, atomic, db_alias, is_nested, run_in_transaction
from kaspi_delivery_django.services.deliveries import runners
from kaspi_delivery_django.services.deliveries.identities import fitting

HEADER = "Idempotency-Key"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a request: the answer's status, and the delivery's primary key; None if it is gone.

    `refusal` is the rule's reason if the action was refused.
    """

    http_status: int
    delivery_pk: int | None = None
    refusal: str = ""


def keyed(request: Any) -> IdempotencyKey | None:
    """Return the request's key, not yet stored; None without the header. Raises `Problem` for one that is no key."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not (key.isascii() and key.isprintable() and 0 < len(key) <= KEY_LENGTH):
        raise Problem("invalid_input", errors={HEADER: [f"It must have 1 to {KEY_LENGTH} printable ASCII characters."]})
    user = request.user
    owner = fitting(str(user.pk if getattr(user, "pk", None) is not None else user))
    asked = json.dumps([request.method, request.path, request.data], sort_keys=True)
    fingerprint = hashlib.sha256(asked.encode()).hexdigest()
    return IdempotencyKey(owner=owner, key=key, fingerprint=fingerprint, created_at=clock.now())


def run_once(keyed: IdempotencyKey | None, act: Callable[[], Outcome]) -> tuple[Outcome, bool]:
    """Return the outcome, and whether it is the one of an earlier request with the same key.

    The key is stored in the transaction of what is done: both stay, or neither. A refusal by a rule is kept like a
    success; after any other error the key can be used again. The runner is notified at the end of the request, so that
    no answer waits for Kaspi.
    """
    work = partial(_act, act) if keyed is None else partial(_act_keyed, keyed, act)
    with runners.deferred_to_request_end():
        if not is_nested():
            return run_in_transaction(work)
        with atomic():
            return work()


def old_rows(before: datetime) -> OldRows:
    """Return the keys that were first used before a time."""
    return OldRows(rows=_keys().filter(created_at__lt=before), by="created_at")


def _act(act: Callable[[], Outcome]) -> tuple[Outcome, bool]:
    try:
        with atomic():
            return act(), False
    except DeliveryError as err:
        problem = refusal_of(err)
        if not problem.is_final:
            raise problem from err
        return Outcome(http_status=problem.status_code, refusal=str(problem.detail)), False


def _act_keyed(row: IdempotencyKey, act: Callable[[], Outcome]) -> tuple[Outcome, bool]:
    row.pk, row._state.adding = None, True  # a first try may have been rolled back
    try:
        with atomic():
            row.save(using=db_alias(), force_insert=True)
    except IntegrityError:  # the other request has committed: its transaction held the key until then
        return _known(row), True
    outcome, _is_known = _act(act)
    _keys().filter(pk=row.pk).update(**vars(outcome))
    return outcome, False


def _known(repeated: IdempotencyKey) -> Outcome:
    row = _keys().filter(owner=repeated.owner, key=repeated.key).first()
    if row is None:
        raise Problem("busy")
    if row.fingerprint != repeated.fingerprint:
        raise Problem("key_reused")
    return Outcome(http_status=row.http_status, delivery_pk=row.delivery_pk, refusal=row.refusal)


def _keys() -> QuerySet[IdempotencyKey]:
    """Return the keys beside the deliveries, with which they are committed, however this app is routed."""
    return IdempotencyKey.objects.using(db_alias())
