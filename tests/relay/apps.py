"""The app of relayed webhooks as the rest of the suite has it: its table is there, and it is connected to nothing."""

from kaspi_delivery_django.contrib.relay.apps import RelayConfig


class Unconnected(RelayConfig):
    """Has the model. tests/relay connects what a shop's installation connects."""

    def ready(self):
        """Connect nothing."""
