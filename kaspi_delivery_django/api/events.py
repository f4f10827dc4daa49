"""The endpoint of webhook events as they were received, for a program that follows them."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from kaspi_delivery_django.api.bodies import StrictSerializer
from kaspi_delivery_django.api.endpoints import Endpoint, read_values
from kaspi_delivery_django.api.paging import MAX_CURSOR_LENGTH, MAX_ID, MAX_PAGE_SIZE, EventPagination
from kaspi_delivery_django.models import WebhookEvent
from kaspi_delivery_django.serializers import moment
from kaspi_delivery_django.services.db import db_alias


class EventParameters(StrictSerializer):
    """Where the list begins."""

    after = serializers.IntegerField(
        required=False, min_value=0, max_value=MAX_ID, help_text="Events with a greater `id`, the oldest first."
    )
    page_size = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_PAGE_SIZE, help_text=f"Rows of a page, 1 to {MAX_PAGE_SIZE}."
    )
    cursor = serializers.CharField(
        required=False, max_length=MAX_CURSOR_LENGTH, help_text="Where the page begins: follow `next`."
    )


class EventSerializer(serializers.Serializer[WebhookEvent]):
    """One webhook as received."""

    id = serializers.IntegerField(read_only=True, help_text="For `after`.")
    account = serializers.CharField(read_only=True)
    environment = serializers.CharField(read_only=True)
    event_id = serializers.CharField(read_only=True, help_text="Kaspi's id.")
    type = serializers.CharField(read_only=True, help_text="Kaspi's type, such as delivery.in_transit.")
    received_at = moment("When it came first.", allow_null=False)
    received_count = serializers.IntegerField(read_only=True)
    delivery = serializers.IntegerField(source="delivery_id", read_only=True, allow_null=True, help_text="Its `id`.")
    state = serializers.CharField(read_only=True, help_text="applied, noted, parked, ignored, conflict, failed, …")
    error = serializers.CharField(read_only=True, help_text="Why it was not applied; may be empty.")
    body = serializers.CharField(read_only=True, help_text="The JSON that Kaspi sent, with letters escaped as ASCII.")

    class Meta:
        ref_name = "KaspiDeliveryWebhookEvent"


class EventViewSet(Endpoint[WebhookEvent]):
    """Webhook events, for programs. Their bodies may name customers."""

    queryset = WebhookEvent.objects.none()
    permissions_to_view = ("view_webhookevent", "view_personal_data")
    pagination_class = EventPagination

    def list(self, request: Request) -> Response:
        given = read_values(EventParameters, request.query_params)
        rows = WebhookEvent.objects.using(db_alias()).filter(pk__gt=given.get("after", 0))
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(EventSerializer(page, many=True).data)
