"""The doors to the web: Kaspi's webhook, and the customer's page with its endpoint."""

from kaspi_delivery_django.views.tracking import TrackingView, tracking_page
from kaspi_delivery_django.views.webhook import AccountWebhookView, WebhookView

__all__ = ["AccountWebhookView", "TrackingView", "WebhookView", "tracking_page"]
