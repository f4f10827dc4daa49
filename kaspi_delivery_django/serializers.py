"""A delivery as JSON for its customer's app: the fields of `tracking.Tracking`, no personal data."""

from datetime import UTC
from typing import Any

from rest_framework import ISO_8601, serializers

from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.tracking import Step, Tracking, track


def moment(description: str, *, source: str | None = None, allow_null: bool = True) -> serializers.DateTimeField:
    """Return a field that writes RFC 3339 in UTC, however the host writes its own times."""
    return serializers.DateTimeField(
        format=ISO_8601,
        default_timezone=UTC,
        allow_null=allow_null,
        read_only=True,
        help_text=description,
        source=source,
    )


class StepSerializer(serializers.Serializer[Step]):
    """One step of the timeline."""

    status = serializers.CharField(read_only=True, help_text="Kaspi's status; an open set.")
    label = serializers.CharField(  # type: ignore[assignment]  # a field called label, not the label of this serializer
        read_only=True, help_text="The status in the reader's language."
    )
    at = moment("When it was taken; null while it is still to come.")
    is_late = serializers.BooleanField(read_only=True, help_text="Whether it was reported after a later one.")
    is_current = serializers.BooleanField(read_only=True, help_text="Whether this is the present status.")

    class Meta:
        ref_name = "KaspiDeliveryStep"  # what OpenAPI calls it, beside the host's own


class WaySerializer(serializers.Serializer[Tracking | Delivery]):
    """One way of a parcel: to the customer, or back to the shop."""

    status = serializers.CharField(read_only=True, help_text="Kaspi's status, empty before the booking; an open set.")
    label = serializers.CharField(  # type: ignore[assignment]  # a field called label, not the label of this serializer
        read_only=True, help_text="The status in the reader's language."
    )
    explanation = serializers.CharField(read_only=True, help_text="What that means for the customer; may be empty.")
    status_at = moment("Since when it has this status; null before the booking.")
    pickup_by = moment("When the courier should have picked it up.")
    delivery_by = moment("When it should have arrived.")
    is_overdue = serializers.BooleanField(read_only=True, help_text="Whether `delivery_by` has passed.")
    is_being_cancelled = serializers.BooleanField(read_only=True, help_text="Whether a cancellation is under way.")
    is_final = serializers.BooleanField(
        read_only=True,
        help_text="Whether the delivery has ended: stop polling. A delivery that was not booked has not ended.",
    )
    tracking_url = serializers.CharField(
        source="url", read_only=True, help_text="Kaspi's own page; empty unless it is https on an allowed host."
    )
    steps = StepSerializer(many=True, read_only=True)

    class Meta:
        ref_name = "KaspiDeliveryWay"


class TrackingSerializer(WaySerializer):
    """A delivery's timeline, for its customer, with that of its return."""

    returned = WaySerializer(
        read_only=True, allow_null=True, help_text="The way back to the shop; null unless a return is booked."
    )
    others = WaySerializer(many=True, read_only=True, help_text="The order's other parcels, without steps.")

    class Meta:
        ref_name = "KaspiDeliveryTracking"

    def to_representation(self, instance: Tracking | Delivery) -> dict[str, Any]:
        """Represent a `Tracking`, or the one of a `Delivery`."""
        tracking = track(instance) if isinstance(instance, Delivery) else instance
        return super().to_representation(tracking)
