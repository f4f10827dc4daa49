"""Test a shop that ships with Kaspi Delivery: a fake Kaspi in memory, without sockets and without waiting.

    with kaspi_sandbox() as kaspi:
        order = Order.objects.create(paid=True)
        kaspi.deliver(order)
        kaspi.assert_booked_once(order)

It works in every kind of test case, with or without pytest; `kaspi_delivery_django.testing.fixtures` has
a pytest fixture.
"""

from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.testing.sandbox import KaspiSandbox, kaspi_sandbox

__all__ = ["Fault", "KaspiSandbox", "kaspi_sandbox"]
