"""The bodies that the API takes. A name that one does not know is refused: a typing error changes nothing."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from rest_framework import serializers

from kaspi_delivery_django import orders
from kaspi_delivery_django.api.problems import Problem
from kaspi_delivery_django.client.types import MAX_REASON_LENGTH
from kaspi_delivery_django.services.errors import one_line

NAMES_SHOWN = 10
NAME_LENGTH = 100
CONFIRMATION = "You have looked at Kaspi: it has no delivery of this number. Needed where Kaspi may have booked it."


class StrictSerializer(serializers.Serializer[Any]):
    """Values that come in, and no others."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(map(str, data)) - self.fields.keys()) if isinstance(data, Mapping) else []
        if unknown:
            words = f"Unknown name. Known: {', '.join(self.fields) or 'none'}."
            raise serializers.ValidationError({one_line(name[:NAME_LENGTH]): [words] for name in unknown[:NAMES_SHOWN]})
        return super().to_internal_value(data)


class NothingBody(StrictSerializer):
    """No values: the body may be empty."""

    class Meta:
        ref_name = "KaspiDeliveryNothing"


class BookBody(StrictSerializer):
    """Which order to book: `order_id`, with `model` where the shop has several adapters; or a `reference`."""

    order_id = serializers.CharField(required=False, max_length=orders.KEY_LENGTH, help_text="Its primary key.")
    model = serializers.CharField(
        required=False, max_length=200, help_text="Its model, such as `shop.Order`; needed with several adapters."
    )
    reference = serializers.CharField(
        required=False, max_length=200, help_text="Its number in the shop, or its external order id."
    )
    send_anyway = serializers.BooleanField(
        default=False, help_text="Book it although the shop's adapter does not want it sent."
    )

    class Meta:
        ref_name = "KaspiDeliveryBooking"

    def validate(self, attrs: Any) -> Any:
        if ("order_id" in attrs) is ("reference" in attrs):
            raise serializers.ValidationError("Give either `order_id` or `reference`.")
        return attrs


class CancelBody(StrictSerializer):
    """Why to cancel."""

    reason = serializers.CharField(
        max_length=MAX_REASON_LENGTH, help_text="For Kaspi and for the history. Name no customer."
    )

    class Meta:
        ref_name = "KaspiDeliveryCancel"


class ReturnBody(StrictSerializer):
    """Why a parcel comes back, if that is known."""

    reason = serializers.CharField(
        default="", allow_blank=True, max_length=MAX_REASON_LENGTH, help_text="For staff, not for Kaspi."
    )

    class Meta:
        ref_name = "KaspiDeliveryReturn"


class LinkBody(StrictSerializer):
    """Kaspi's id of the delivery."""

    delivery_id = serializers.CharField(max_length=128, help_text="As Kaspi's console shows it.")

    class Meta:
        ref_name = "KaspiDeliveryLink"


class ConfirmBody(StrictSerializer):
    """The confirmation that Kaspi has no delivery."""

    confirmed_absent = serializers.BooleanField(default=False, help_text=CONFIRMATION)

    class Meta:
        ref_name = "KaspiDeliveryConfirmation"


def model_named(label: str) -> type[Model]:
    """Return the model of an adapter by its label, in any case. Raises `Problem`."""
    models = orders.adapters()
    found = next((model for model in models if model._meta.label_lower == label.casefold()), None)
    if found is None:
        known = ", ".join(model._meta.label for model in models)
        raise Problem("invalid_input", errors={"model": [f"No adapter is for this model. Known: {known}."]})
    return found
