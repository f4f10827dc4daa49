"""The app that holds the adapter, the receiver and the admin page."""

from django.apps import AppConfig


class ParcelsConfig(AppConfig):
    """Connects the receiver."""

    name = "tests.oscar.parcels"

    def ready(self):
        """Listen to the deliveries."""
        from tests.oscar.parcels import receivers
