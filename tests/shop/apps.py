"""The test shop."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """The test shop."""

    name = "tests.shop"
    label = "shop"
