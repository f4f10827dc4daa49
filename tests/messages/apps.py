"""The app of messages as the rest of the suite has it: its tables are there, and it is connected to nothing."""

from kaspi_delivery_django.contrib.messages.apps import MessagesConfig


class Unconnected(MessagesConfig):
    """Has the models. tests/messages connects what a shop's installation connects."""

    def ready(self):
        """Connect nothing."""
