"""Views: Kaspi's webhook, the customer's tracking page, and its API endpoint."""

from kaspi_delivery_django.views.tracking import TrackingView, tracking_page
from kaspi_delivery_django.views.webhook import AccountWebhookView, WebhookView

__all__ = ["AccountWebhookView", "TrackingView", "WebhookView", "tracking_page"]
