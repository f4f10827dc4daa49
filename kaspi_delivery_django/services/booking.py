"""Make a delivery of an order: the first by itself, the next only when a person asks for it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils.translation import gettext, gettext_lazy

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.types import is_identifier
from kaspi_delivery_django.exceptions import CannotReissue, CannotRetry, NoAdapter
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.orders import AnyAdapter, adapter_for
from kaspi_delivery_django.services import attention, calls, clock, exits, glances, payloads, statements
from kaspi_delivery_django.services.failures import AdapterFailed, ask, one_line
from kaspi_delivery_django.services.transactions import home, lock, lock_again

logger = logging.getLogger(__name__)

State = ApiCall.State

ADAPTER_FAILED = gettext_lazy("The shop's adapter failed: %(error)s.")
OTHER_DELIVERY = gettext_lazy("The order has another delivery: %(name)s.")


@dataclass(frozen=True)
class Identity:
    """Under which account, environment and name an order is known at Kaspi."""

    account: str
    environment: str
    external_order_id: str | None = None
    generation: int = 1


def request_delivery(order: models.Model) -> Delivery:
    """Book the order's first delivery, once, however often this is called.

    Writes two rows in the current transaction and returns the Delivery; the request to Kaspi
    follows after the commit. An adapter that fails leaves a Delivery that waits for a person.
    Raises `NoAdapter` when no adapter is for the order's model.
    """
    adapter = adapter_of(order)
    try:
        identity = identity_of(adapter, order)
        return _book(adapter, order, identity)
    except AdapterFailed as err:
        return set_aside(adapter, order, err)


def book(adapter: AnyAdapter, order: models.Model) -> None:
    """Book an order that was saved, as `request_delivery` does; most are booked, and cost a glance.

    Raises `AdapterFailed`.
    """
    identity = identity_of(adapter, order)
    using = order._state.db or home()
    known = glances.deliveries_of(order, _content_type(adapter, using).pk, using=using)
    here = [one for one in known if one.environment == identity.environment]
    if not known:
        open_delivery(adapter, order, identity)
    elif not here or not glances.is_settled(here[0], account=identity.account):
        _book(adapter, order, identity)


def reissue_delivery(delivery: Delivery, *, confirmed_absent: bool = False) -> Delivery:
    """Book the order anew, after its delivery was cancelled, refused or given up; return the new one.

    `confirmed_absent` says that somebody has looked: Kaspi has no delivery of this name. Without
    it nothing is booked anew that Kaspi may have booked. Raises `CannotReissue`.
    """
    with transaction.atomic(using=delivery._state.db or home()):
        locked = lock_again(delivery)
        exits.check_reissue(locked, confirmed_absent=confirmed_absent)
        give_up(locked)
        try:
            order = payloads.order_of(locked)
            adapter = adapter_of(order)
            identity = identity_of(adapter, order)
            return open_delivery(adapter, order, _next(locked, deliveries_of(adapter, order), identity))
        except models.ObjectDoesNotExist as err:
            raise CannotReissue(gettext("The order is gone.")) from err
        except AdapterFailed as err:
            raise CannotReissue(ADAPTER_FAILED % {"error": err}) from err


def give_up(delivery: Delivery) -> None:
    """End what waits for a person on a locked delivery that is not linked. Saves the delivery."""
    waiting = ApiCall.objects.using(delivery._state.db).filter(delivery=delivery)
    calls.finish(waiting.filter(state__in=(State.STUCK, State.REFUSED)), State.ABANDONED)
    delivery.attention = ""
    delivery.save(update_fields=["attention", "updated_at"])


def name_again(delivery: Delivery) -> Delivery:
    """Ask the adapter again, which failed before the delivery had a name. Raises `CannotRetry`."""
    try:
        order = payloads.order_of(delivery)
        adapter = adapter_of(order)
        return _try_again(delivery, identity_of(adapter, order))
    except models.ObjectDoesNotExist as err:
        raise CannotRetry(gettext("The order is gone: acknowledge it.")) from err
    except AdapterFailed as err:
        raise CannotRetry(ADAPTER_FAILED % {"error": err}) from err


def adapter_of(order: models.Model) -> AnyAdapter:
    adapter = adapter_for(type(order))
    if adapter is None:
        setting = "KASPI_DELIVERY['ORDER_ADAPTERS']"
        raise NoAdapter(f"No adapter in {setting} is for {order._meta.label}.")
    return adapter


def identity_of(adapter: AnyAdapter, order: models.Model) -> Identity:
    alias = ask(adapter.account, order)
    account = conf.account(alias) if isinstance(alias, str) else None
    external_order_id = ask(adapter.external_order_id, order)
    if account is None:
        raise AdapterFailed("account must return an alias in KASPI_DELIVERY['ACCOUNTS']")
    if not is_identifier(external_order_id):
        raise AdapterFailed("external_order_id must return 1 to 128 printable ASCII characters")
    return Identity(account.alias, account.environment, external_order_id)


def _content_type(adapter: AnyAdapter, using: str) -> ContentType:
    return ContentType.objects.db_manager(using).get_for_model(adapter.model_class())


def deliveries_of(adapter: AnyAdapter, order: models.Model) -> models.QuerySet[Delivery]:
    using = order._state.db or home()
    content_type = _content_type(adapter, using)
    return Delivery.objects.using(using).of_order(content_type, str(order.pk))


def newest_of(adapter: AnyAdapter, order: models.Model, environment: str) -> Delivery | None:
    """Return the order's newest delivery there; else one without a name, which is nowhere yet."""
    nameless = Q(external_order_id__isnull=True, attention=Attention.ADAPTER_FAILED)
    known = list(deliveries_of(adapter, order).filter(Q(environment=environment) | nameless))
    return next((one for one in known if one.environment == environment), next(iter(known), None))


def _book(adapter: AnyAdapter, order: models.Model, identity: Identity) -> Delivery:
    newest = newest_of(adapter, order, identity.environment)
    if newest is None:
        return open_delivery(adapter, order, identity)
    if glances.is_settled(newest, account=identity.account):
        return newest
    if newest.attention == Attention.ADAPTER_FAILED:
        return _try_again(newest, identity)
    return _move(newest, identity)


def _next(last: Delivery, known: models.QuerySet[Delivery], identity: Identity) -> Identity:
    newest = known.filter(environment=identity.environment).first()
    if newest is None:
        return identity
    if newest.pk != last.pk:
        raise CannotReissue(OTHER_DELIVERY % {"name": newest})
    following = _numbered(identity, newest.generation + 1)
    if not is_identifier(following.external_order_id):
        raise CannotReissue(
            gettext("external_order_id leaves no room for the number of the next delivery: shorten it.")
        )
    return following


def _numbered(identity: Identity, generation: int) -> Identity:
    """Return the identity of one of the order's deliveries: only the first goes without its number."""
    if generation == 1:
        return identity
    name = f"{identity.external_order_id}-{generation}"
    return replace(identity, external_order_id=name, generation=generation)


def open_delivery(
    adapter: AnyAdapter,
    order: models.Model,
    identity: Identity,
    add: Callable[[Delivery], ApiCall] = calls.add_create,
) -> Delivery:
    """Write a delivery and its create together; return the other one when a transaction was faster."""
    try:
        with transaction.atomic(using=order._state.db or home()):
            delivery = _insert(adapter, order, identity)
            add(delivery)
    except IntegrityError as err:
        winner = _winner(adapter, order, identity)
        if winner is None:
            raise AdapterFailed("another order has this external_order_id already") from err
        return winner
    return delivery


def _winner(adapter: AnyAdapter, order: models.Model, identity: Identity) -> Delivery | None:
    """Return the row that another transaction was faster with.

    The read locks, because on MariaDB our snapshot may be older than the winner's commit.
    """
    using = order._state.db or home()
    own: dict[str, Any] = {"object_id": str(order.pk), "content_type": _content_type(adapter, using).pk}
    with transaction.atomic(using=using):
        return lock(using=using, **own, environment=identity.environment, generation=identity.generation)


def _insert(adapter: AnyAdapter, order: models.Model, identity: Identity) -> Delivery:
    using = order._state.db or home()
    delivery = Delivery(
        account=identity.account,
        environment=identity.environment,
        external_order_id=identity.external_order_id,
        generation=identity.generation,
        content_type=_content_type(adapter, using),
        object_id=str(order.pk),
    )
    statements.insert(delivery, using=using)
    return delivery


def _try_again(delivery: Delivery, identity: Identity) -> Delivery:
    """Let a call that its adapter failed on go again: the order was saved, perhaps corrected."""
    own, now = _numbered(identity, delivery.generation), clock.now()
    try:
        with transaction.atomic(using=delivery._state.db):
            locked = lock_again(delivery)
            if calls.never_sent(locked).filter(payload="").exists():
                _rename(locked, own)
            for call in calls.never_sent(locked).filter(state=State.STUCK):
                call.idempotency_key = call.idempotency_key if call.payload else ""
                calls.release(call, now)
            attention.clear(locked, frozenset({Attention.ADAPTER_FAILED}))
            locked.save(update_fields=attention.COLUMNS)
    except IntegrityError as err:
        raise AdapterFailed("another order has this external_order_id already") from err
    return locked


def _move(delivery: Delivery, identity: Identity) -> Delivery:
    """Give an order to the account that is to ship it now, unless its request was built: that one stays as it is."""
    own = _numbered(identity, delivery.generation)
    try:
        with transaction.atomic(using=delivery._state.db):
            locked = lock_again(delivery)
            unbuilt = calls.never_sent(locked).filter(payload="")
            if unbuilt.update(idempotency_key=own.external_order_id):
                _rename(locked, own)
    except IntegrityError as err:
        raise AdapterFailed("another order has this external_order_id already") from err
    return locked


def _rename(delivery: Delivery, own: Identity) -> None:
    """Say anew under which account, environment and name a locked delivery goes that Kaspi never heard of."""
    delivery.account, delivery.environment = own.account, own.environment
    delivery.external_order_id = own.external_order_id
    delivery.save(update_fields=["account", "environment", "external_order_id", "updated_at"])


def set_aside(adapter: AnyAdapter, order: models.Model, failure: AdapterFailed) -> Delivery:
    """Keep an order that its adapter failed on, for a person; saving it again tries again."""
    logger.error("adapter failed: model=%s pk=%s error=%s", adapter.model, one_line(order.pk), failure)
    accounts = conf.current().accounts
    account = accounts.get(conf.DEFAULT_ACCOUNT) or next(iter(accounts.values()))
    nameless = Identity(account.alias, account.environment)
    environments = {one.environment for one in accounts.values()}
    known = deliveries_of(adapter, order).filter(environment__in=environments)
    try:
        return _flagged(known.first()) or _insert_stuck(adapter, order, nameless, failure)
    except IntegrityError:
        return _winner(adapter, order, nameless) or known.get()


def _flagged(delivery: Delivery | None) -> Delivery | None:
    if delivery is None or delivery.attention:
        return delivery
    with transaction.atomic(using=delivery._state.db):
        locked = lock_again(delivery)
        attention.flag(locked, Attention.ADAPTER_FAILED)
        locked.save(update_fields=attention.COLUMNS)
    return locked


def _insert_stuck(adapter: AnyAdapter, order: models.Model, identity: Identity, failure: AdapterFailed) -> Delivery:
    with transaction.atomic(using=order._state.db or home()):
        delivery = _insert(adapter, order, identity)
        attention.flag(delivery, Attention.ADAPTER_FAILED)
        delivery.save(update_fields=["attention", "updated_at"])
        calls.add_stuck_create(delivery, Attention.ADAPTER_FAILED, str(failure))
    return delivery
