"""What shops do where no signal tells of it, and in whose surrounding: updates, importers, languages, time zones."""

from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone, translation
from hypothesis.stateful import precondition, rule
from hypothesis.strategies import sampled_from

from kaspi_delivery_django.exceptions import DeliveryError
from kaspi_delivery_django.models import Attention, Delivery
from kaspi_delivery_django.services import retry_delivery
from tests.promises.shop import Mood
from tests.promises.shop_rules import MODELS, ORDERS, SPELLINGS
from tests.shop.spellings import spelled

LANGUAGES = ("kk", "ru", "de", "en-us")
ZONES = ("UTC", "America/New_York", "Asia/Almaty")


def has_adapter_failures(_machine):
    """Tell whether the adapter has failed on something."""
    return Delivery.objects.filter(attention=Attention.ADAPTER_FAILED).exists()


class ShopUpdateRules:
    """Rows change without a save, keys are spelled in many ways, and requests come from everywhere."""

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
        """The instance says that it is paid, and only its phone is written."""
        model, key = order
        row = model.objects.get(pk=key)
        row.paid = True
        row.save(update_fields=["phone"])

    @rule(language=sampled_from(LANGUAGES), zone=sampled_from(ZONES))
    def somebody_else_comes(self, language, zone):
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
