"""What the shop does: orders change with and without a signal, in any locale; its code and its settings change."""

from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone, translation
from hypothesis.stateful import Bundle, consumes, initialize, precondition, rule
from hypothesis.strategies import sampled_from

from kaspi_delivery_django.exceptions import DeliveryError
from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.services import retry_delivery
from tests.promises.shop import ADDRESSES, QUESTIONS, Mood
from tests.promises.system import API_KEYS, SECRETS
from tests.shop import spellings
from tests.shop.models import Line, Order
from tests.shop.spellings import spelled

ORDERS = Bundle("orders")
MODELS = sampled_from(spellings.MODELS)
SPELLINGS = sampled_from([0, 0, *range(6)])
INSIDE = sampled_from(["nothing", "a transaction", "a savepoint"])
LANGUAGES = ("kk", "ru", "de", "en-us")
ZONES = ("UTC", "America/New_York", "Asia/Almaty")


class Oops(Exception):
    """Ends a transaction."""


def has_adapter_failures(_machine):
    return Delivery.objects.filter(attention=Attention.ADAPTER_FAILED).exists()


class ShopRules:
    @initialize(target=ORDERS)
    def first_order_placed(self):
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
        row = self._read(order)
        row.cancelled = True
        row.save()

    @rule(order=consumes(ORDERS))
    def order_deleted(self, order):
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

    @rule(order=ORDERS, change=sampled_from([{"cancelled": True}, {"paid": False}]))
    def order_updated(self, order, change):
        """An ERP cancels it, or takes the payment back: no signal is sent."""
        model, key = order
        model.objects.filter(pk=key).update(**change)

    @rule(target=ORDERS, model=MODELS, change=sampled_from([{"cancelled": True}, {"paid": False}]))
    def order_updated_at_the_till(self, model, change):
        """It is paid for, and updated before the same transaction is over: no worker is ever faster."""
        key = self.system.next_key(model)
        with transaction.atomic():
            model(pk=key).save()
            model.objects.using("default").filter(pk=key).update(**change)
        return model, key

    @rule(order=ORDERS, spelling=SPELLINGS, imported=sampled_from([True, False]))
    def order_saved_in_another_spelling(self, order, spelling, imported):
        """A form or an importer writes the same key in its own way; nothing else changes."""
        model, key = order
        row = model.objects.get(pk=key)
        if imported:
            row = model(**{field.attname: getattr(row, field.attname) for field in model._meta.concrete_fields})
        row.pk = spelled(key, spelling)
        row.save(force_update=True)  # a model whose key has a default would be inserted

    @rule(order=ORDERS)
    def order_saved_in_part(self, order):
        """The instance is paid, and only its phone is written."""
        row = self._read(order)
        row.paid = True
        row.save(update_fields=["phone"])

    @rule(language=sampled_from(LANGUAGES), zone=sampled_from(ZONES))
    def locale_changes(self, language, zone):
        """From now on what happens is in the language and the time zone of another request."""
        translation.activate(language)
        timezone.activate(ZoneInfo(zone))

    @precondition(has_adapter_failures)
    @rule(which=sampled_from(range(4)))
    def person_retries_after_a_release(self, which):
        """The adapter is repaired, and what it has failed on is tried again."""
        Mood.question = ""
        failed = list(Delivery.objects.filter(attention=Attention.ADAPTER_FAILED).order_by("pk"))
        try:
            retry_delivery(failed[which % len(failed)])
        except DeliveryError:
            return  # a refusal is an answer

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
