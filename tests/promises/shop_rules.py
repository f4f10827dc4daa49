"""What the shop does: orders are saved in every way, and its code and its settings change."""

from django.db import transaction
from hypothesis.stateful import Bundle, consumes, initialize, rule
from hypothesis.strategies import sampled_from

from tests.promises.shop import ADDRESSES, QUESTIONS, Mood
from tests.promises.system import API_KEYS, SECRETS
from tests.shop import spellings
from tests.shop.models import Line, Order
from tests.shop.spellings import spelled

ORDERS = Bundle("orders")
MODELS = sampled_from(spellings.MODELS)
SPELLINGS = sampled_from([0, 0, *range(6)])
INSIDE = sampled_from(["nothing", "a transaction", "a savepoint"])


class Oops(Exception):
    """Ends a transaction."""


class ShopRules:
    """Orders come, change and go."""

    @initialize(target=ORDERS)
    def first_order_placed(self):
        """There is something to begin with."""
        return self.order_placed(Order, 0, "nothing", paid=True)

    @rule(target=ORDERS, model=MODELS, spelling=SPELLINGS, inside=INSIDE, paid=sampled_from([True, True, False]))
    def order_placed(self, model, spelling, inside, paid):
        """A customer pays at once, or later; whoever made the key wrote it in their own way."""
        key = self.system.next_key(model)
        self._save(model(pk=spelled(key, spelling), paid=paid), inside)
        return model, key

    @rule(order=ORDERS, times=sampled_from([1, 3]), inside=INSIDE, address=sampled_from(ADDRESSES))
    def order_saved_again(self, order, times, inside, address):
        """It is paid for at last, or the customer moved system, or nothing changed."""
        row = self._read(order)
        row.paid, row.address = True, address
        self.system.edited.add(str(row.pk))
        for _ in range(times):
            self._save(row, inside)

    @rule(order=ORDERS)
    def order_cancelled(self, order):
        """The customer changes their mind."""
        row = self._read(order)
        row.cancelled = True
        row.save()

    @rule(order=consumes(ORDERS))
    def order_deleted(self, order):
        """Somebody tidies up."""
        self._read(order).delete()

    @rule(model=MODELS, outer=sampled_from([True, False]))
    def order_rolled_back(self, model, outer):
        """A checkout fails after the order was saved; the rest of its transaction may go on."""
        key = self.system.next_key(model)
        self.system.rolled_back.add(str(key))
        try:
            with transaction.atomic():
                self._fail_after_saving(model(pk=key), swallowed=not outer)
        except Oops:
            assert outer

    @rule(question=sampled_from(["", "", "build_request", *QUESTIONS]), receivers=sampled_from([False, True]))
    def shop_deployed(self, question, receivers):
        """A release breaks one question of the adapter, or repairs it; the receivers too."""
        Mood.question, Mood.receivers = question, receivers

    @rule(key=sampled_from(range(2)), secrets=sampled_from([[0], [1, 0], [1], [0, 1]]))
    def shop_reconfigured(self, key, secrets):
        """The shop may be earlier or later than Kaspi with a new key or secret."""
        self.system.configure(API_KEY=API_KEYS[key], WEBHOOK_SECRETS=[SECRETS[number] for number in secrets])

    def _read(self, order):
        model, key = order
        return model.objects.get(pk=key)

    def _save(self, row, inside):
        if inside == "nothing":
            row.save()
            return
        with transaction.atomic():
            if inside == "a savepoint":
                with transaction.atomic():
                    row.save()
            else:
                row.save()
            if isinstance(row, Order):
                Line.objects.create(order=row, title="A samovar")

    def _fail_after_saving(self, row, *, swallowed):
        try:
            with transaction.atomic():
                row.save()
                raise Oops  # noqa: TRY301  # what the shop's own code does
        except Oops:
            if not swallowed:
                raise
