"""The only code that writes. What a shop may call is named here; the rest is ours."""

from kaspi_delivery_django.services.deliveries import cancel_delivery, refresh_delivery, request_delivery

__all__ = ["cancel_delivery", "refresh_delivery", "request_delivery"]
