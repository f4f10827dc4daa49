"""The staff's side: read-only mirrors of what happened, and actions that ask first."""

from kaspi_delivery_django.admin import deliveries, records

__all__ = ["deliveries", "records"]
