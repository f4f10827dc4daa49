"""How long a parcel takes between two cities, from the shop's own delivered parcels: Kaspi's API has no quote."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from kaspi_delivery_django import conf
from kaspi_delivery_django.models import Delivery
from kaspi_delivery_django.models.search import city_key
from kaspi_delivery_django.services import clock
from kaspi_delivery_django.stats import cached
from kaspi_delivery_django.stats.recent import percentile, seconds_between
from kaspi_delivery_django.statuses import DELIVERED

MAX_AGE = timedelta(days=90)
SAMPLE = 2000
LEAST_PARCELS = 20
KEEP_S = 3600
VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """From the order's saving to the door: half of the parcels took at most `p50`, nine of ten at most `p90`."""

    p50: timedelta
    p90: timedelta
    count: int


def estimate(pickup_city: str | None, dropoff_city: str | None) -> Estimate | None:
    """Estimate a delivery from the newest parcels between these cities; None where there are fewer than 20.

    A city is named as in the addresses that the adapter gives: "Almaty" does not find "Алматы". Parcels count for
    90 days, or until their personal data is removed. The figure is cached for an hour.
    """
    cities = city_key(pickup_city or ""), city_key(dropoff_city or "")  # a template passes None for what it lacks
    served = sorted({account.environment for account in conf.current().accounts.values()})
    name = f"estimate:{VERSION}:{hashlib.sha256(repr((cities, served)).encode()).hexdigest()[:32]}"
    kept = cached.recall([name])
    if name not in kept:
        found = _measure(*cities)
        cached.keep(name, found, KEEP_S)
        return found
    known: Estimate | None = kept[name]
    return known


def _measure(pickup: str, dropoff: str) -> Estimate | None:
    if not (pickup and dropoff):
        return None
    rows = Delivery.objects.outbound().served().filter(city_key=dropoff, status=DELIVERED)
    newest = rows.order_by("-pk").values_list("pickup_address", "created_at", "status_at")[:SAMPLE]
    since = clock.now() - MAX_AGE
    took = Counter(
        seconds_between(booked, arrived)
        for address, booked, arrived in newest
        if arrived and booked >= since and city_key(address) == pickup
    )
    if took.total() < LEAST_PARCELS:
        return None
    p50, p90 = (timedelta(seconds=percentile(took, share) or 0) for share in (0.5, 0.9))
    return Estimate(p50=p50, p90=p90, count=took.total())
