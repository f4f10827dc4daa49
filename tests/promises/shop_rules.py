"""What the shop does: orders are saved in every way, and its code and its settings change."""

from django.db import transaction
from hypothesis.stateful import Bundle, consumes, initialize, rule
from hypothesis.strategies import sampled_from

from tests.promises.house import API_KEYS, SECRETS
from tests.promises.shop import ADDRESSES, QUESTIONS, Mood
from tests.shop.models import Line, Order

ORDERS = Bundle("orders")
INSIDE = sampled_from(["nothing", "a transaction", "a savepoint"])


class Oops(Exception):
    """Ends a transaction."""


class ShopRules:
    """Orders come, change and go."""

    @initialize(target=ORDERS)
    def first_order_placed(self):
        """There is something to begin with."""
        return self.order_placed("nothing", paid=True)

    @rule(target=ORDERS, inside=INSIDE, paid=sampled_from([True, True, False]))
    def order_placed(self, inside, paid):
        """A customer pays at once, or later."""
        order = Order(pk=self.house.next_order_pk(), paid=paid)
        self._save(order, inside)
        return order.pk

    @rule(pk=ORDERS, times=sampled_from([1, 3]), inside=INSIDE, address=sampled_from(ADDRESSES))
    def order_saved_again(self, pk, times, inside, address):
        """It is paid for at last, or the customer moved house, or nothing changed."""
        order = Order.objects.get(pk=pk)
        order.paid, order.address = True, address
        for _ in range(times):
            self._save(order, inside)

    @rule(pk=ORDERS)
    def order_cancelled(self, pk):
        """The customer changes their mind."""
        order = Order.objects.get(pk=pk)
        order.cancelled = True
        order.save()

    @rule(pk=consumes(ORDERS))
    def order_deleted(self, pk):
        """Somebody tidies up."""
        Order.objects.get(pk=pk).delete()

    @rule(outer=sampled_from([True, False]))
    def order_rolled_back(self, outer):
        """A checkout fails after the order was saved; the rest of its transaction may go on."""
        pk = self.house.next_order_pk()
        self.house.rolled_back.add(pk)
        try:
            with transaction.atomic():
                self._fail_after_saving(pk, swallowed=not outer)
        except Oops:
            assert outer

    @rule(question=sampled_from(["", "", "build_request", *QUESTIONS]), receivers=sampled_from([False, True]))
    def shop_deployed(self, question, receivers):
        """A release breaks one question of the adapter, or repairs it; the receivers too."""
        Mood.question, Mood.receivers = question, receivers

    @rule(key=sampled_from(range(2)), secrets=sampled_from([[0], [1, 0], [1], [0, 1]]))
    def shop_reconfigured(self, key, secrets):
        """The shop may be earlier or later than Kaspi with a new key or secret."""
        self.house.configure(API_KEY=API_KEYS[key], WEBHOOK_SECRETS=[SECRETS[number] for number in secrets])

    def _save(self, order, inside):
        if inside == "nothing":
            order.save()
            return
        with transaction.atomic():
            if inside == "a savepoint":
                with transaction.atomic():
                    order.save()
            else:
                order.save()
            Line.objects.create(order=order, title="A samovar")

    def _fail_after_saving(self, pk, *, swallowed):
        try:
            with transaction.atomic():
                Order(pk=pk).save()
                raise Oops  # noqa: TRY301  # what the shop's own code does
        except Oops:
            if not swallowed:
                raise
