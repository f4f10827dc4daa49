"""Tests of a shop that ships with Kaspi Delivery: a Kaspi in memory, no sockets, nothing to wait for.

    with kaspi_sandbox() as kaspi:
        order = Order.objects.create(paid=True)
        kaspi.deliver(order)
        kaspi.assert_booked_once(order)

It works in every kind of test case, and needs no pytest; `kaspi_delivery_django.testing.fixtures` has a fixture
for those who use it.
"""

from kaspi_delivery_django.sandbox.faults import Fault
from kaspi_delivery_django.testing.opening import kaspi_sandbox
from kaspi_delivery_django.testing.sandbox import KaspiSandbox

__all__ = ["Fault", "KaspiSandbox", "kaspi_sandbox"]
