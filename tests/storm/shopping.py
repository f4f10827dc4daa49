"""Customers and users: orders saved, rolled back, saved again, edited, cancelled and deleted, some behind our back."""

import random
import threading
import uuid

from django.db import InterfaceError, OperationalError, connection, transaction

from kaspi_delivery_django.models import ApiCall, Delivery
from tests.shop.models import AppOrder, Line, Order

GHOST = "an order that was rolled back"
QUEUE = 40
RECENT = 60
SELDOM = 0.05


class Shopping:
    """Saves so many orders from a few threads. What a stopped database refuses is tried again.

    Customers come as fast as the workers keep up, and think again about one of the last orders: so a cancel meets
    bookings that were never sent, are under way, are made, and are on the road. Some orders are cancelled by
    `update()`, which sends no signal: `cancelled_unsent` are the keys of those whose create was not claimed by then.
    """

    def __init__(self, orders, threads, seed, stopped):
        self.cancelled_unsent = set()
        self._left = threading.Semaphore(orders)
        self._stopped = stopped
        self._threads = [threading.Thread(target=self._shop, args=(seed + n,), daemon=True) for n in range(threads)]

    def start(self):
        for thread in self._threads:
            thread.start()

    def is_over(self):
        return not any(thread.is_alive() for thread in self._threads)

    def _shop(self, seed):
        dice = random.Random(seed)
        placed = []
        while not self._stopped.is_set() and self._left.acquire(blocking=False):
            self._stand_in_line()
            placed.append(self._insist(_place, dice))
            if dice.random() < 0.3:
                self._insist(_think_again, dice, placed.pop(dice.randrange(len(placed))))
            elif dice.random() < SELDOM:
                self._insist(self._cancel_quietly, placed.pop(dice.choice([-1, dice.randrange(len(placed))])))
            del placed[:-RECENT]
        connection.close()

    def _cancel_quietly(self, order):
        """Cancel an order as an ERP does. While its delivery is locked and its create due, no worker has asked."""
        model, key = order
        with transaction.atomic():
            model.objects.filter(pk=key).update(cancelled=True)
            delivery = Delivery.objects.select_for_update().get(object_id=str(key), generation=1)
            create = delivery.calls.get(kind="create")
            is_unsent = create.state == "due" and not create.attempts
        if is_unsent:
            self.cancelled_unsent.add(str(key))

    def _stand_in_line(self):
        while (self._insist(_waiting) or 0) > QUEUE:
            self._stopped.wait(0.1)

    def _insist(self, act, *arguments):
        while not self._stopped.is_set():
            try:
                return act(*arguments)
            except (OperationalError, InterfaceError):
                connection.close()
                self._stopped.wait(0.2)
        return None


def _waiting():
    return ApiCall.objects.filter(kind="create", state="due").count()


def _place(dice):
    if dice.random() < 0.05:
        _change_their_mind_at_the_till()
    with transaction.atomic():
        if dice.random() < 0.5:
            order = AppOrder.objects.create(pk=uuid.UUID(int=dice.getrandbits(128)))
        else:
            order = Order.objects.create()
            Line.objects.create(order=order, title="a book")
    for _ in range(dice.choice([0, 0, 0, 1, 3])):
        order.save()
    return type(order), order.pk


def _change_their_mind_at_the_till():
    with transaction.atomic():
        Order.objects.create(address=GHOST)
        transaction.set_rollback(True)


def _think_again(dice, placed):
    model, key = placed
    order = model.objects.get(pk=key)
    change = dice.random()
    if change < 0.1:
        order.delete()
        return
    if change < 0.4:
        order.cancelled = True
    elif change < 0.6:
        order.address = "Satpaev 22, Almaty"
    order.save()
