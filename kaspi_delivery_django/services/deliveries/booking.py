"""Make a delivery of an order: the first by itself, the next only when a person asks for it."""

import logging
from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext, gettext_lazy

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.types import is_identifier
from kaspi_delivery_django.exceptions import CannotReissue, CannotRetry
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.orders import AnyAdapter
from kaspi_delivery_django.services import clock, fast_sql
from kaspi_delivery_django.services.db import db_alias, lock, lock_current
from kaspi_delivery_django.services.deliveries import attention, calls, identities, payloads, preflight, rules, status
from kaspi_delivery_django.services.deliveries.identities import (
    Identity,
    Subject,
    adapter_of,
    content_type_of,
    deliveries_as,
    deliveries_of,
    identity_of,
    newest_of,
    numbered,
)
from kaspi_delivery_django.services.deliveries.payloads import Wish
from kaspi_delivery_django.services.errors import AdapterFailed, one_line
from kaspi_delivery_django.services.fast_sql import DeliveryKeys

__all__ = [
    "ADAPTER_FAILED",
    "OTHER_DELIVERY",
    "AdapterFailed",
    "Identity",
    "abandon",
    "adapter_of",
    "book",
    "book_after_conflict",
    "cancel_if_unsent",
    "deliveries_of",
    "flag_adapter_failure",
    "flag_foreign_database",
    "identity_of",
    "newest_of",
    "open_delivery",
    "reissue_delivery",
    "request_delivery",
    "retry_naming",
]
logger = logging.getLogger(__name__)
State = ApiCall.State
ADAPTER_FAILED = gettext_lazy("The shop's adapter failed: %(error)s.")
OTHER_DELIVERY = gettext_lazy("The order has another delivery: %(name)s.")


def request_delivery(order: models.Model) -> Delivery:
    """Book the order's first delivery, once, however often this is called.

    Writes two rows in the current transaction and returns the Delivery; the request to Kaspi
    follows after the commit. An adapter that fails leaves a Delivery that waits for a person, and so does
    an order of a database that no worker reads.
    Raises `NoAdapter` when no adapter is for the order's model, and `UsageError` for an order without a primary key.
    """
    adapter = adapter_of(order)
    try:
        if not identities.is_ours(adapter, order):
            return flag_foreign_database(adapter, order, identities.place_of(order))
        return _book(adapter, identity_of(adapter, order))
    except AdapterFailed as err:
        return flag_adapter_failure(adapter, order, err)


def book(adapter: AnyAdapter, subject: Subject) -> None:
    """Book an order that was saved, as `request_delivery` does; most are booked, and need nothing.

    Raises `AdapterFailed`, and `IntegrityError` when another transaction was faster: see `book_after_all`.
    """
    identity = identities.identity_as(adapter, subject)
    here = [one for one in subject.known if one.environment == identity.environment]
    if not subject.known:
        with transaction.atomic(using=db_alias(), savepoint=False):
            calls.add_create(_insert(adapter, identity))
    elif not here or not _is_settled(here[0], identity):
        _book(adapter, identity)


def book_after_conflict(adapter: AnyAdapter, subject: Subject) -> None:
    """Book an order whose rows another transaction has written since they were looked for. Raises `AdapterFailed`."""
    _book(adapter, identities.identity_as(adapter, subject))


def cancel_if_unsent(subject: Subject) -> None:
    """Clear what the adapter failed on before: it answers now, and does not want the order shipped."""
    failed = [seen.pk for seen in subject.known if seen.attention == Attention.ADAPTER_FAILED]
    for delivery in Delivery.objects.filter(pk__in=failed) if failed else ():
        preflight.note_refusal(delivery)


def reissue_delivery(delivery: Delivery, *, confirmed_absent: bool = False) -> Delivery:
    """Book the order anew, after its delivery was cancelled, refused or given up; return the new one.

    `confirmed_absent` says that somebody has looked: Kaspi has no delivery of this name. Without
    it nothing is booked anew that Kaspi may have booked. Raises `CannotReissue`.
    """
    with transaction.atomic(using=db_alias()):
        locked = lock_current(delivery)
        rules.check_reissue(locked, confirmed_absent=confirmed_absent)
        abandon(locked)
        try:
            order = payloads.order_of(locked)
            adapter = adapter_of(order)
            return open_delivery(adapter, _next(adapter, locked, identity_of(adapter, order)))
        except models.ObjectDoesNotExist as err:
            raise CannotReissue(gettext("The order is gone.")) from err
        except AdapterFailed as err:
            raise CannotReissue(ADAPTER_FAILED % {"error": err}) from err


def abandon(delivery: Delivery) -> None:
    """End what waits for a person on a locked delivery that is not linked. Saves the delivery."""
    waiting = ApiCall.objects.filter(delivery=delivery)
    calls.finish(waiting.filter(state__in=(State.STUCK, State.REFUSED)), State.ABANDONED)
    delivery.attention, delivery.raised_reasons, delivery.unwanted_since = "", "", None
    if delivery.cancel_requested_at and not delivery.delivery_id and not delivery.status:
        status.mark_cancelled(delivery)
    status.save(delivery, (*status.STATUS_COLUMNS, "unwanted_since"))


def retry_naming(delivery: Delivery) -> Delivery:
    """Ask the adapter again, which failed before the delivery had a name; one that is not wanted is deleted.

    Raises `CannotRetry`.
    """
    try:
        order = payloads.order_of(delivery)
        adapter = adapter_of(order)
        if payloads.wish_for(adapter, order) is not Wish.SEND:
            delivery.delete()
            return delivery
        return _try_again(delivery, identity_of(adapter, order))
    except models.ObjectDoesNotExist as err:
        raise CannotRetry(gettext("The order is gone: acknowledge it.")) from err
    except AdapterFailed as err:
        raise CannotRetry(ADAPTER_FAILED % {"error": err}) from err


def _book(adapter: AnyAdapter, identity: Identity) -> Delivery:
    newest = newest_of(adapter, identity.object_id, identity.environment)
    if newest is None:
        return open_delivery(adapter, identity)
    try:
        return _update(newest, identity)
    except Delivery.DoesNotExist:  # it had no name, and an answer that did not want it has just deleted it
        return open_delivery(adapter, identity)


def _update(newest: Delivery, identity: Identity) -> Delivery:
    """Have an order's newest delivery follow a save that wants it; return it as it stands then."""
    if preflight.is_held(newest):
        newest = preflight.release(newest)
    if _is_settled(newest, identity):
        return newest
    if newest.attention == Attention.ADAPTER_FAILED:
        return _try_again(newest, identity)
    return _move(newest, identity)


def _is_settled(newest: DeliveryKeys | Delivery, identity: Identity) -> bool:
    own = numbered(identity, newest.generation)
    return fast_sql.is_up_to_date(newest, account=own.account, external_order_id=own.external_order_id)


def _next(adapter: AnyAdapter, last: Delivery, identity: Identity) -> Identity:
    known = deliveries_as(adapter, identity.object_id)
    newest = known.filter(environment=identity.environment).first()
    if newest is None:
        return identity
    if newest.pk != last.pk:
        raise CannotReissue(OTHER_DELIVERY % {"name": newest})
    following = numbered(identity, newest.generation + 1)
    if not is_identifier(following.external_order_id):
        raise CannotReissue(
            gettext("external_order_id leaves no room for the number of the next delivery: shorten it.")
        )
    return following


def open_delivery(
    adapter: AnyAdapter, identity: Identity, add: Callable[[Delivery], ApiCall] = calls.add_create
) -> Delivery:
    """Write a delivery and its create together; return the other one when a transaction was faster."""
    try:
        with transaction.atomic(using=db_alias()):
            delivery = _insert(adapter, identity)
            add(delivery)
    except IntegrityError as err:
        winner = _winner(adapter, identity)
        if winner is None:
            raise AdapterFailed(preflight.NAME_TAKEN) from err
        return winner
    return delivery


def _winner(adapter: AnyAdapter, identity: Identity) -> Delivery | None:
    """Return the row that another transaction was faster with.

    The read locks, because on MariaDB our snapshot may be older than the winner's commit.
    """
    own: dict[str, Any] = {"object_id": identity.object_id, "content_type": content_type_of(adapter).pk}
    with transaction.atomic(using=db_alias()):
        return lock(using=db_alias(), **own, environment=identity.environment, generation=identity.generation)


def _insert(adapter: AnyAdapter, identity: Identity) -> Delivery:
    delivery = Delivery(
        account=identity.account,
        environment=identity.environment,
        external_order_id=identity.external_order_id,
        generation=identity.generation,
        content_type=content_type_of(adapter),
        object_id=identity.object_id,
    )
    fast_sql.insert(delivery, using=db_alias())
    return delivery


def _try_again(delivery: Delivery, identity: Identity) -> Delivery:
    """Let a call that its adapter failed on go again: the order was saved, perhaps corrected."""
    own, now = numbered(identity, delivery.generation), clock.database_now(db_alias())
    try:
        with transaction.atomic(using=db_alias()):
            locked = lock_current(delivery)
            if calls.never_sent(locked).filter(payload="").exists():
                preflight.rename(locked, own)
            for call in calls.never_sent(locked).filter(state=State.STUCK):
                call.idempotency_key = call.idempotency_key if call.payload else ""
                calls.release(call, now)
            attention.clear(locked, frozenset({Attention.ADAPTER_FAILED}))
            locked.save(update_fields=attention.COLUMNS)
    except IntegrityError as err:
        raise AdapterFailed(preflight.NAME_TAKEN) from err
    return locked


def _move(delivery: Delivery, identity: Identity) -> Delivery:
    """Give an order to the account that is to ship it now, and the name that it has now, unless it was sent."""
    own = numbered(identity, delivery.generation)
    with transaction.atomic(using=db_alias()):
        locked = lock_current(delivery)
        preflight.move(locked, own)
    return locked


def flag_adapter_failure(adapter: AnyAdapter, order: models.Model, failure: AdapterFailed) -> Delivery:
    """Keep an order that its adapter failed on, for a person; saving it again tries again."""
    return _flag_adapter_failure(adapter, identities.object_id_of(order), failure)


def flag_foreign_database(adapter: AnyAdapter, order: models.Model, using: str) -> Delivery:
    """Keep, for a person, an order that was written to another database than its delivery would be.

    Our row names that database before the key: an order of our own database may have the same key.
    """
    text = f"The order is in the database {using!r}, which no worker reads: deliveries are in {db_alias()!r}"
    object_id = identities.fitting(f"{using}:{identities.object_id_of(order)}")
    return _flag_adapter_failure(
        adapter, object_id, AdapterFailed(f"{text}. Route both to one database, or save it there.")
    )


def _flag_adapter_failure(adapter: AnyAdapter, object_id: str, failure: AdapterFailed) -> Delivery:
    logger.error("adapter failed: model=%s pk=%s error=%s", adapter.model, one_line(object_id), failure)
    accounts = conf.current().accounts
    account = accounts.get(conf.DEFAULT_ACCOUNT) or next(iter(accounts.values()))
    nameless = Identity(account.alias, account.environment, object_id=object_id)
    environments = {one.environment for one in accounts.values()}
    known = deliveries_as(adapter, object_id).filter(environment__in=environments)
    try:
        return _flagged(known.first()) or _insert_stuck(adapter, nameless, failure)
    except IntegrityError:
        return _winner(adapter, nameless) or known.get()


def _flagged(delivery: Delivery | None) -> Delivery | None:
    if delivery is None or delivery.attention:
        return delivery
    with transaction.atomic(using=db_alias()):
        locked = lock_current(delivery)
        attention.flag(locked, Attention.ADAPTER_FAILED)
        locked.save(update_fields=attention.COLUMNS)
    return locked


def _insert_stuck(adapter: AnyAdapter, identity: Identity, failure: AdapterFailed) -> Delivery:
    with transaction.atomic(using=db_alias()):
        delivery = _insert(adapter, identity)
        attention.flag(delivery, Attention.ADAPTER_FAILED)
        delivery.save(update_fields=attention.COLUMNS)
        calls.add_stuck_create(delivery, Attention.ADAPTER_FAILED, str(failure))
    return delivery
