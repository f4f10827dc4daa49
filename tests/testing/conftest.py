"""The kit's own fixture, as a shop gets it."""

from kaspi_delivery_django.testing.fixtures import kaspi

__all__ = ["kaspi"]
