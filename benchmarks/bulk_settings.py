"""The benchmarks' project with an adapter that names all orders as those that may be booked late."""

from benchmarks.settings import *  # noqa: F403  # the same project
from benchmarks.settings import KASPI_DELIVERY as SHOP

KASPI_DELIVERY = {**SHOP, "ORDER_ADAPTERS": ["benchmarks.bulk.kaspi.EverythingAdapter"]}
