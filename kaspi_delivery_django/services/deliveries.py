"""What a shop asks for: book an order's delivery, cancel it, ask Kaspi how it stands."""

import logging
from dataclasses import dataclass

from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, models, transaction

from kaspi_delivery_django import conf
from kaspi_delivery_django.client.types import check_text, is_identifier, read_text
from kaspi_delivery_django.exceptions import CannotCancel, DeliveryError, NoAdapter
from kaspi_delivery_django.lifecycle import CANCELLABLE, CANCELLED
from kaspi_delivery_django.models import ApiCall, Attention, Delivery
from kaspi_delivery_django.orders import AnyAdapter, adapter_for
from kaspi_delivery_django.services import attention, calls, clock, status
from kaspi_delivery_django.services.failures import AdapterFailed, ask
from kaspi_delivery_django.services.transactions import home, lock, lock_again

logger = logging.getLogger(__name__)

State, Kind = ApiCall.State, ApiCall.Kind


@dataclass(frozen=True)
class Identity:
    """Under which account, environment and name an order is known at Kaspi."""

    account: str
    environment: str
    external_order_id: str | None = None


def request_delivery(order: models.Model) -> Delivery:
    """Book the order's first delivery, once, however often this is called.

    Writes two rows in the current transaction and returns the Delivery; the request to Kaspi
    follows after the commit. An adapter that fails leaves a Delivery that waits for a person.
    Raises `NoAdapter` when no adapter is for the order's model.
    """
    adapter = _adapter_of(order)
    try:
        identity = _identity(adapter, order)
        return _book(adapter, order, identity)
    except AdapterFailed as err:
        return _set_aside(adapter, order, err)


def follow_order(order: models.Model) -> None:
    """Do what the adapter wants for an order that was saved. Its failures wait for a person."""
    adapter = _adapter_of(order)
    try:
        if ask(adapter.wants_cancel, order):
            _cancel_order(adapter, order)
        elif ask(adapter.wants_delivery, order):
            request_delivery(order)
    except AdapterFailed as err:
        _set_aside(adapter, order, err)


def cancel_delivery(delivery: Delivery, *, reason: str = "") -> Delivery:
    """Cancel a delivery that the courier has not picked up; return it as it stands then.

    What was never sent is abandoned without a request; while the booking is under way the wish is
    kept until that is resolved. Asking twice asks Kaspi once. Raises `CannotCancel`, or
    `UsageError` for a reason that cannot be sent.
    """
    check_text(reason, "the reason", required=False)
    with transaction.atomic(using=delivery._state.db or home()):
        locked = lock_again(delivery)
        if locked.status == CANCELLED or _is_abandoned(locked):
            return locked
        if locked.status not in CANCELLABLE:
            raise CannotCancel(f"It cannot be cancelled any more: it is {locked.status}.")
        locked.cancel_requested_at = locked.cancel_requested_at or clock.now()
        locked.cancel_reason = reason or locked.cancel_reason
        attention.clear(locked, attention.OF_CANCELLING)
        if locked.delivery_id:
            calls.add_cancel(locked)
        elif calls.finish(calls.never_sent(locked), State.ABANDONED):
            attention.clear(locked, attention.OF_BOOKING)
        locked.save(update_fields=status.MIRRORED)
    return locked


def refresh_delivery(delivery: Delivery) -> ApiCall:
    """Have Kaspi asked how the delivery stands. Raises `DeliveryError` before it has an id."""
    with transaction.atomic(using=delivery._state.db or home()):
        locked = lock_again(delivery)
        if not locked.delivery_id:
            raise DeliveryError("Kaspi cannot be asked: the delivery has no id yet.")
        locked.next_refresh_at = status.next_refresh(locked)
        locked.save(update_fields=["next_refresh_at", "updated_at"])
        return calls.add_refresh(locked)


def refresh_stale(*, limit: int, using: str) -> int:
    """Have Kaspi asked about open deliveries that it has not spoken of for long."""
    silent = list(Delivery.objects.using(using).stale(clock.now())[:limit])
    for delivery in silent:
        try:
            refresh_delivery(delivery)
        except (DeliveryError, Delivery.DoesNotExist):
            Delivery.objects.using(using).filter(pk=delivery.pk).update(next_refresh_at=None)
    return len(silent)


def _adapter_of(order: models.Model) -> AnyAdapter:
    adapter = adapter_for(type(order))
    if adapter is None:
        setting = "KASPI_DELIVERY['ORDER_ADAPTERS']"
        raise NoAdapter(f"No adapter in {setting} is for {order._meta.label}.")
    return adapter


def _identity(adapter: AnyAdapter, order: models.Model) -> Identity:
    account = conf.account(ask(adapter.account, order))
    external_order_id = ask(adapter.external_order_id, order)
    if account is None:
        raise AdapterFailed("account must return an alias in KASPI_DELIVERY['ACCOUNTS']")
    if not is_identifier(external_order_id):
        raise AdapterFailed("external_order_id must return 1 to 128 printable ASCII characters")
    return Identity(account.alias, account.environment, external_order_id)


def _content_type(adapter: AnyAdapter, using: str) -> ContentType:
    return ContentType.objects.db_manager(using).get_for_model(adapter.model_class())


def _deliveries(adapter: AnyAdapter, order: models.Model) -> models.QuerySet[Delivery]:
    using = order._state.db or home()
    content_type = _content_type(adapter, using)
    return Delivery.objects.using(using).of_order(content_type, str(order.pk))


def _book(adapter: AnyAdapter, order: models.Model, identity: Identity) -> Delivery:
    known = _deliveries(adapter, order).filter(environment=identity.environment)
    newest = known.first()
    if newest is None:
        return _open(adapter, order, identity)
    if newest.attention == Attention.ADAPTER_FAILED:
        return _try_again(newest, identity)
    return newest


def _open(adapter: AnyAdapter, order: models.Model, identity: Identity) -> Delivery:
    try:
        with transaction.atomic(using=order._state.db or home()):
            delivery = _insert(adapter, order, identity)
            calls.add_create(delivery)
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
    with transaction.atomic(using=order._state.db or home()):
        return lock(_deliveries(adapter, order).filter(environment=identity.environment))


def _insert(adapter: AnyAdapter, order: models.Model, identity: Identity) -> Delivery:
    using = order._state.db or home()
    return Delivery.objects.using(using).create(
        account=identity.account,
        environment=identity.environment,
        external_order_id=identity.external_order_id,
        content_type=_content_type(adapter, using),
        object_id=str(order.pk),
    )


def _try_again(delivery: Delivery, identity: Identity) -> Delivery:
    """Let a call that its adapter failed on go again: the order was saved, perhaps corrected."""
    now = clock.now()
    try:
        with transaction.atomic(using=delivery._state.db):
            locked = lock_again(delivery)
            if calls.never_sent(locked).filter(payload="").exists():
                locked.account, locked.external_order_id = identity.account, identity.external_order_id
            attention.clear(locked, frozenset({Attention.ADAPTER_FAILED}))
            locked.save(update_fields=["account", "external_order_id", "attention", "updated_at"])
            for call in calls.never_sent(locked).filter(state=State.STUCK):
                call.idempotency_key = call.idempotency_key if call.payload else ""
                calls.release(call, now)
    except IntegrityError as err:
        raise AdapterFailed("another order has this external_order_id already") from err
    return locked


def _set_aside(adapter: AnyAdapter, order: models.Model, failure: AdapterFailed) -> Delivery:
    """Keep an order that its adapter failed on, for a person; saving it again tries again."""
    logger.error("adapter failed: model=%s pk=%s error=%s", adapter.model, order.pk, failure)
    accounts = conf.current().accounts
    account = accounts.get(conf.DEFAULT_ACCOUNT) or next(iter(accounts.values()))
    nameless = Identity(account.alias, account.environment)
    known = _deliveries(adapter, order).filter(environment=account.environment)
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
        locked.save(update_fields=["attention", "updated_at"])
    return locked


def _insert_stuck(adapter: AnyAdapter, order: models.Model, identity: Identity, failure: AdapterFailed) -> Delivery:
    with transaction.atomic(using=order._state.db or home()):
        delivery = _insert(adapter, order, identity)
        attention.flag(delivery, Attention.ADAPTER_FAILED)
        delivery.save(update_fields=["attention", "updated_at"])
        calls.add_create(delivery, state=State.STUCK, error=str(failure))
    return delivery


def _cancel_order(adapter: AnyAdapter, order: models.Model) -> None:
    environment = _identity(adapter, order).environment
    delivery = _deliveries(adapter, order).filter(environment=environment).first()
    if delivery is None or delivery.cancel_requested_at or not delivery.is_open:
        return
    try:
        cancel_delivery(delivery, reason=_reason(adapter, order))
    except CannotCancel:
        with transaction.atomic(using=delivery._state.db):
            locked = lock_again(delivery)
            locked.cancel_requested_at = clock.now()
            attention.flag(locked, Attention.CANCEL_REFUSED)
            locked.save(update_fields=["cancel_requested_at", "attention", "updated_at"])


def _reason(adapter: AnyAdapter, order: models.Model) -> str:
    """Return the adapter's reason; a cancel goes without one rather than not at all."""
    try:
        return read_text(ask(adapter.cancel_reason, order))
    except AdapterFailed as err:
        logger.error("no cancel reason: model=%s pk=%s error=%s", adapter.model, order.pk, err)  # noqa: TRY400
        return ""


def _is_abandoned(delivery: Delivery) -> bool:
    newest = calls.calls_of(delivery, Kind.CREATE).first()
    return newest is not None and newest.state == State.ABANDONED
