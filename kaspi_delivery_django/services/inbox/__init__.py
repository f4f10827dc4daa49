"""The inbox: how Kaspi's webhooks are stored, applied and replayed."""
