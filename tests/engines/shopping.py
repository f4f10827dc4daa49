"""Customers, and how long the shop makes them wait."""

import time

from django.db import transaction

from tests.shop.models import Order


def save_orders(count, meanwhile=int):
    """Save so many paid orders, each in a transaction as a checkout is; return how long each took, in seconds.

    `meanwhile` is called before each save, with its number.
    """
    took = []
    for number in range(count):
        meanwhile(number)
        began = time.monotonic()
        with transaction.atomic():
            Order.objects.create()
        took.append(time.monotonic() - began)
    return took
